package worker

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/ktaudit/ktaudit/internal/jobstest/audittest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/rs/zerolog"
)

func TestRation(t *testing.T) {
	t.Parallel()
	var r logLimit
	start := time.Now()
	for i := range limitLines {
		if let, leftOut := r.take(start.Add(time.Duration(i) * time.Second)); !let || leftOut != 0 {
			t.Fatalf("line %d: %v, %d left out", i, let, leftOut)
		}
	}
	for i := range 3 {
		if let, _ := r.take(start.Add(limitPeriod - 1)); let {
			t.Fatalf("line %d above the logLimit was let through", i)
		}
	}
	if let, leftOut := r.take(start.Add(limitPeriod)); !let || leftOut != 3 {
		t.Errorf("in the next period: %v, %d left out, want 3", let, leftOut)
	}
	if let, leftOut := r.take(start.Add(limitPeriod)); !let || leftOut != 0 {
		t.Errorf("after that: %v, %d left out, want none", let, leftOut)
	}
}

// A store that takes nothing fails every epoch on the queue, each time that it is tried.
func TestFaultsDoNotFloodTheLog(t *testing.T) {
	t.Parallel()
	w := audittest.New(t, simlog.Options{Epochs: 1})
	var log bytes.Buffer
	w.Config.Log = zerolog.New(&log)
	a := w.Auditor(t)
	worker, err := New(nil, []*audit.Auditor{a}, complete(Config{}), a.Log.Level(zerolog.InfoLevel))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Audit.Close(); err != nil {
		t.Fatal(err)
	}
	for range 5 * limitLines {
		if err := worker.audit(t.Context(), a, 1); err == nil {
			t.Fatal("an epoch was judged without a store")
		}
	}
	asynqs := asynqLogger{worker.log, &worker.machinery, func() bool { return false }, &sync.Once{}}
	for range 5 * limitLines {
		asynqs.Error("Dequeue error: ", errors.New("connection refused"))
	}
	for _, message := range []string{"epoch not judged", "Dequeue error: connection refused"} {
		if n := strings.Count(log.String(), message); n != limitLines {
			t.Errorf("%q is in the log %d times, want %d", message, n, limitLines)
		}
	}
}

// Lines that are not written anyway, such as warnings where only errors are, keep none that is from
// being written.
func TestRationIsForWhatIsWritten(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var r logLimit
	l := asynqLogger{zerolog.New(&log).Level(zerolog.ErrorLevel), &r, func() bool { return false }, &sync.Once{}}
	for range 2 * limitLines {
		l.Warn("a warning")
	}
	l.Error("an error")
	if got := log.String(); !strings.Contains(got, "an error") || strings.Contains(got, "a warning") {
		t.Errorf("in the log is %q, want the error alone", got)
	}
}

// A right that is missing is told of once, and what is wrong with Redis not by asynq's words.
func TestAsynqSaysOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var r logLimit
	server, err := miniredis.Run()
	if err != nil {
		t.Fatal(err)
	}
	gone, err := queue.Connect(t.Context(), "redis://"+server.Addr(), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	server.Close()
	l := asynqLogger{zerolog.New(&log).Level(zerolog.InfoLevel), &r, gone.FailedLately, &sync.Once{}}
	for range 3 {
		l.Error("cannot subscribe to cancelation channel: NOPERM No permissions to access a channel")
	}
	if gone.Probe(t.Context(), "example") == nil || !gone.FailedLately() {
		t.Error("what is gone answers")
	}
	l.Warn("recoverer: could not list lease expired tasks: INTERNAL_ERROR: redis eval error: dial tcp: connection refused")
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "&asynq:*") {
		t.Errorf("in the log is %s", got)
	}
}
