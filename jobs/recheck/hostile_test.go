package recheck

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/incident"
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
