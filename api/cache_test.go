package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/rs/zerolog"
	"gocloud.dev/blob/memblob"
)

// What many ask for is made once, whoever of them goes away.
func TestCache(t *testing.T) {
	t.Parallel()
	var c cache[int]
	begun, goOn := make(chan bool), make(chan bool)
	made := 0
	makeIt := func(ctx context.Context) (int, error) {
		made++
		begun <- true
		<-goOn
		return made, ctx.Err()
	}
	leaving, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	ask := func(ctx context.Context) {
		all.Go(func() {
			if n, err := c.get(ctx, "log", time.Hour, time.Hour, makeIt); n != 1 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		})
	}
	all.Go(func() {
		if _, err := c.get(leaving, "log", time.Hour, time.Hour, makeIt); !errors.Is(err, context.Canceled) {
			t.Errorf("one who goes away: %v", err)
		}
	})
	<-begun
	for range 20 {
		ask(t.Context())
	}
	leave() // for whom it is made
	if _, err := c.get(leaving, "log", time.Hour, time.Hour, makeIt); !errors.Is(err, context.Canceled) {
		t.Errorf("one who waits and goes away: %v", err)
	}
	close(goOn)
	all.Wait()
	go func() { <-begun }()
	if n, err := c.get(t.Context(), "other", time.Hour, time.Hour, makeIt); n != 2 || err != nil {
		t.Errorf("of another log: %d, %v", n, err)
	}
}

// What is too old is made anew, and what failed is not tried again by each who asks.
func TestCacheAge(t *testing.T) {
	t.Parallel()
	var c cache[int]
	made := 0
	makeIt := func(context.Context) (int, error) {
		if made++; made == 2 {
			return 0, errors.New("a fault")
		}
		return made, nil
	}
	for _, step := range []struct {
		age  time.Duration
		want int
		ok   bool
	}{{time.Hour, 1, true}, {time.Hour, 1, true}, {-1, 0, false}, {time.Hour, 0, false}, {-1, 3, true}} {
		if n, err := c.get(t.Context(), "log", step.age, time.Hour, makeIt); n != step.want || (err == nil) != step.ok {
			t.Errorf("%+v: %d, %v", step, n, err)
		}
	}
}

// A defect ends what is made, for all who wait for it, and not the process.
func TestCachePanic(t *testing.T) {
	t.Parallel()
	var c cache[int]
	if _, err := c.get(t.Context(), "log", 0, time.Hour, func(context.Context) (int, error) { panic("a defect") }); err == nil {
		t.Error("no error")
	}
}

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
		last := &client.LastVerified{Epoch: 7}
		other := a.heads.entry("other")
		other.made, other.v = time.Now().Add(time.Hour), last
		a.heads.entry("slow").turn <- struct{}{} // it is being made
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
