package worker

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest/audittest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/audit"
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
		if err := worker.audit(t.Context(), a, 1, nil); err == nil {
			t.Fatal("an epoch was judged without a store")
		}
	}
	for range 5 * limitLines {
		worker.machinery.event(worker.log, zerolog.ErrorLevel).Msg("Dequeue error: connection refused")
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
	l := zerolog.New(&log).Level(zerolog.ErrorLevel)
	for range 2 * limitLines {
		r.event(l, zerolog.WarnLevel).Msg("a warning")
	}
	r.event(l, zerolog.ErrorLevel).Msg("an error")
	if got := log.String(); !strings.Contains(got, "an error") || strings.Contains(got, "a warning") {
		t.Errorf("in the log is %q, want the error alone", got)
	}
}
