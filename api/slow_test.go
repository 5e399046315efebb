package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/rs/zerolog"
	"gocloud.dev/blob/memblob"
)

// A log whose last verified epoch takes long to find holds up no other in the list, nor the list.
func TestListWithSlowLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := auditstore.New(memblob.OpenBucket(nil))
		defer store.Close()
		a, err := newAPI(Config{
			Store: store, URL: "https://auditor.example", Log: zerolog.Nop(),
			Namespaces: func() []Namespace { return []Namespace{{Name: "slow"}, {Name: "other"}} },
		})
		if err != nil {
			t.Fatal(err)
		}
		find := func(name string, do func() *client.LastVerified) {
			_, _ = a.heads.Get(t.Context(), name, headAge, time.Hour, func(context.Context) (*client.LastVerified, error) { return do(), nil })
		}
		find("other", func() *client.LastVerified { return &client.LastVerified{Epoch: 7} })
		ends := make(chan bool)
		defer close(ends)
		go find("slow", func() *client.LastVerified { <-ends; return nil })
		synctest.Wait()
		began, recorder := time.Now(), httptest.NewRecorder()
		a.handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/namespaces", nil))
		var list client.Namespaces
		if err := json.Unmarshal(recorder.Body.Bytes(), &list); err != nil {
			t.Fatalf("%d %s: %v", recorder.Code, recorder.Body, err)
		}
		if n := list.Namespaces; len(n) != 2 || n[0].LastVerifiedEpoch != nil || n[1].LastVerifiedEpoch == nil || time.Since(began) > listTimeout {
			t.Errorf("after %s: %s", time.Since(began), recorder.Body)
		}
	})
}
