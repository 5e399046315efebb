package recheck

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/reaudited"
)

// refusing has the log answer every request with an error whose prefix is one of these.
func (w *world) refusing(t *testing.T, refuses func(prefix string) bool) {
	t.Helper()
	opened := false
	defer func() { opened = true }()
	w.overHTTP(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if opened && refuses(r.URL.Query().Get("prefix")) {
				http.Error(rw, "no", http.StatusForbidden)
				return
			}
			next.ServeHTTP(rw, r)
		})
	})
}

// A log that refuses to list some epochs does not keep the ones after them from being looked at.
func TestRefusedEpochsHideNoOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 30)
	jobstest.Must(t, w.Log.WriteAll(t.Context(), fmt.Sprintf("27/%s/%s", jobstest.DigestAfter(1), jobstest.DigestAfter(2)), []byte("x"), nil))
	w.refusing(t, func(prefix string) bool { return prefix == "" || len(prefix) == 3 && prefix < "21/" })
	l := New(w.config)
	for i := range time.Duration(12) {
		_ = newRound(l, w.began.Add(62*minute+i*6*minute)).run(t.Context()) // an error says that it is not at its end
	}
	w.wantAlerts(t, "1-equivocation.000000000027")
}

// Whoever acknowledges that many batches are gone is told of the next ones all the same.
func TestAcknowledgedWithdrawalsHideNoOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8)
	l := New(w.config)
	w.round(t, l, minute)
	for i := range uint64(maxWithdrawn) {
		a := alert.OfWithdrawn(jobstest.Namespace, 1000+2*i, 1000+2*i, w.began)
		jobstest.Must(t, w.config.Incidents.Raise(t.Context(), a))
		_, _, err := w.config.Incidents.Acknowledge(t.Context(), incident.Acknowledgement{Namespace: jobstest.Namespace, Incident: a.Incident, By: "me", Reason: "known"})
		jobstest.Must(t, err)
	}
	jobstest.MoveObject(t, w.Log, w.KeyOf(t, 5), "")
	for i := range time.Duration(6) {
		w.round(t, l, 62*minute+i*6*minute)
	}
	if all := strings.Join(jobstest.Notices(t, w.Store), " "); !strings.Contains(all, "withdrawn.000000000005") {
		t.Error("nobody is told that epoch 5 is gone")
	}
}

// A log that brings back most of what it had withdrawn has not brought back all.
func TestWithdrawnUntilAllAreBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 60)
	l := New(w.config)
	w.round(t, l, minute)
	batches := map[string][]byte{}
	for epoch := uint64(2); epoch < 60; epoch++ {
		key := w.KeyOf(t, epoch)
		data, err := w.Log.ReadAll(t.Context(), key)
		jobstest.Must(t, err)
		batches[key] = data
		jobstest.MoveObject(t, w.Log, key, "")
	}
	for i := range time.Duration(4) {
		w.round(t, l, 62*minute+i*6*minute)
	}
	w.wantAlerts(t, "1-withdrawn.000000000002")
	for key, data := range batches {
		if !strings.HasPrefix(key, "30/") {
			jobstest.Must(t, w.Log.WriteAll(t.Context(), key, data, nil))
		}
	}
	for i := range time.Duration(20) {
		w.round(t, l, 3*hour+i*6*minute)
	}
	w.wantAlerts(t, "1-withdrawn.000000000002")
}

// A log that refuses to say what became of epochs, or to serve what it lists, is told of after a
// day, once, until it answers.
func TestWhatCannotBeFoundOutIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8)
	refuses := true
	w.refusing(t, func(prefix string) bool { return refuses && (prefix == "" || prefix == "3/") })
	served := false // whether the log serves the batch of epoch 6
	w.config.Reaudit = func(ctx context.Context, epochs []uint64) error {
		for _, epoch := range epochs {
			object, err := w.config.Fetcher.Locate(ctx, epoch)
			jobstest.Must(t, err)
			if epoch != 6 || served {
				jobstest.Must(t, reaudited.Put(ctx, w.Store, jobstest.Namespace, epoch, object.Listed()))
			}
		}
		return nil
	}
	l := New(w.config)
	w.round(t, l, minute)
	for i := range time.Duration(12) {
		w.round(t, l, 62*minute+i*6*minute)
	}
	w.wantAlerts(t)
	for i := range time.Duration(40) {
		w.round(t, l, 30*hour+i*hour/2)
	}
	w.wantAlerts(t, "1-recheck_overdue.000000000003")
	for i := range time.Duration(12) {
		w.round(t, New(w.config), 54*hour+i*6*minute) // others, or after restarts
	}
	refuses = false
	w.round(t, l, 80*hour)
	w.round(t, l, 102*hour)
	w.wantAlerts(t, "1-recheck_overdue.000000000003") // epoch 6 lasts
	served = true
	w.round(t, l, 124*hour)
	w.round(t, l, 146*hour)
	w.wantAlerts(t, "1-recheck_overdue.000000000003", "3-recheck_overdue.000000000003")
}

// A log that lists many batches anew and serves some of them only cannot keep the others back.
func TestBatchesThatCannotBeFetchedHideNoOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2*maxReaudits+1)
	asked := map[uint64]bool{}
	w.config.Reaudit = func(_ context.Context, epochs []uint64) error {
		for _, epoch := range epochs {
			asked[epoch] = true // and nothing comes of it
		}
		return nil
	}
	for epoch := uint64(1); epoch <= 2*maxReaudits+1; epoch++ {
		w.rewrite(t, epoch, nil)
	}
	l := New(w.config)
	for i := range time.Duration(100) {
		w.round(t, l, 62*minute+i*12*hour)
	}
	if len(asked) < 2*maxReaudits+1 {
		t.Errorf("%d of %d epochs were ever put on the queue", len(asked), 2*maxReaudits+1)
	}
}

// A batch that comes back and goes again within the hour is told of again.
func TestWithdrawnAgainWithinTheHour(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8)
	w.config.Period = minute
	w.config.After = nil
	w.config.History = minute // all, in each round
	began := w.began.Truncate(hour).Add(2 * hour)
	l := New(w.config)
	rounds := func(from time.Duration) {
		for i := range time.Duration(6) {
			jobstest.Must(t, newRound(l, began.Add(from+i*minute)).run(t.Context()))
		}
	}
	key := w.KeyOf(t, 5)
	data, err := w.Log.ReadAll(t.Context(), key)
	jobstest.Must(t, err)
	jobstest.MoveObject(t, w.Log, key, "")
	rounds(0)
	jobstest.Must(t, w.Log.WriteAll(t.Context(), key, data, nil))
	rounds(10 * minute)
	w.wantAlerts(t, "1-withdrawn.000000000005", "3-withdrawn.000000000005")
	jobstest.MoveObject(t, w.Log, key, "")
	rounds(20 * minute)
	l.config.History = 0 // it was looked at, and is not again by chance
	rounds(8 * hour)
	w.wantAlerts(t, "1-withdrawn.000000000005", "1-withdrawn.000000000005", "3-withdrawn.000000000005")
}

// A log that changes all of its history is told of in parts, and nothing of it is left out.
func TestManyEquivocationsAreNoFlood(t *testing.T) {
	t.Parallel()
	const epochs = maxEquivocations + 50
	w := newWorld(t, epochs)
	l := New(w.config)
	w.round(t, l, minute)
	for epoch := uint64(1); epoch <= epochs; epoch++ {
		key := fmt.Sprintf("%d/%s/%s", epoch, jobstest.DigestAfter(epochs+1), jobstest.DigestAfter(epochs+2))
		jobstest.Must(t, w.Log.WriteAll(t.Context(), key, []byte("x"), nil))
	}
	told := func() int { return len(jobstest.Incidents(t, w.Store)) }
	w.round(t, l, 62*minute)
	if n := told(); n != maxEquivocations {
		t.Errorf("%d told of in the first round, want %d", n, maxEquivocations)
	}
	w.round(t, l, 67*minute)
	if n := told(); n != epochs {
		t.Errorf("%d told of in the end, want %d", n, epochs)
	}
}
