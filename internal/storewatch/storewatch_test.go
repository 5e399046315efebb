package storewatch_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/alert/targets"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/storewatch"
	"github.com/rs/zerolog"
)

// receiver is a webhook that takes alerts once it is up.
type receiver struct {
	alert.Target
	mu   sync.Mutex
	up   bool
	got  []string
	keys []string
}

func newReceiver(t *testing.T, name string) *receiver {
	t.Helper()
	r := &receiver{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		var a struct{ Namespace, Kind, Status, Incident string }
		err := json.NewDecoder(request.Body).Decode(&a)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil || !r.up {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		r.got = append(r.got, a.Status+" "+a.Kind+" of "+a.Namespace)
		r.keys = append(r.keys, a.Incident)
	}))
	t.Cleanup(server.Close)
	target, err := targets.New("webhook", targets.Settings{Name: name, URL: server.URL, Secret: []byte("0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	r.Target = target[0]
	return r
}

func (r *receiver) setUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.up = true
}

func (r *receiver) received() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(slices.Values(r.got))
}

// A store that goes away is told of once to each target, for each log, also to one that was down at
// first, and that it is back, too. One that is away for less than the time is not told of.
func TestStoreThatGoesAndComesBack(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "audit")
	jobstest.Must(t, os.Mkdir(dir, 0o755))
	store, err := auditstore.Open(t.Context(), dir)
	jobstest.Must(t, err)
	defer store.Close()
	up, late := newReceiver(t, "up"), newReceiver(t, "late")
	up.setUp()
	stop := jobstest.Background(t, func(ctx context.Context) error {
		storewatch.Watch{
			Store: store, Namespaces: []string{"one", "two"}, Targets: []alert.Target{up.Target, late.Target},
			After: 100 * time.Millisecond, Log: zerolog.Nop(),
		}.Run(ctx)
		return nil
	})
	defer stop()

	firing := []string{"firing store_unwritable of one", "firing store_unwritable of two"}
	both := append(slices.Clone(firing), "resolved store_unwritable of one", "resolved store_unwritable of two")
	jobstest.Must(t, os.Remove(dir))
	jobstest.Eventually(t, "a target is told", func() bool { return slices.Equal(up.received(), firing) })
	late.setUp()
	jobstest.Eventually(t, "the other one, too", func() bool { return slices.Equal(late.received(), firing) })
	jobstest.Must(t, os.Mkdir(dir, 0o755))
	jobstest.Eventually(t, "both are told that it is over", func() bool {
		return slices.Equal(up.received(), both) && slices.Equal(late.received(), both)
	})
	for _, key := range append(up.keys, late.keys...) {
		if key != up.keys[0] {
			t.Errorf("one outage has the names %s and %s", up.keys[0], key)
		}
	}
}

// Without a time there is nothing to wait for.
func TestNeverWatched(t *testing.T) {
	t.Parallel()
	storewatch.Watch{}.Run(t.Context()) // returns
}
