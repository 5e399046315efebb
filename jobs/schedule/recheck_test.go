package schedule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/reaudited"
	"github.com/ktaudit/ktaudit/jobs/recheck"
	"github.com/ktaudit/ktaudit/jobs/worker"
	"github.com/rs/zerolog"
)

// A log that changes what was judged is found out by a scheduler and a worker alone, and each of
// the ways is told once: a second batch, other bytes, neighbours that swap, a batch that is gone.
func TestWhatWasJudgedIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 12})
	r := queuetest.Miniredis(t)
	startWorker(t, r, w.Auditor(t), worker.Config{})
	s := w.schedule()
	m, series := jobstest.Measure(t)
	s.Metrics = m
	s.Poll, s.Log = 20*time.Millisecond, w.Log
	s.Recheck = recheck.Settings{After: []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, time.Hour}, History: 50 * time.Millisecond}
	scheduler, err := New(r, []Config{s}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	jobstest.Background(t, scheduler.Run)
	jobstest.Eventually(t, "every epoch has a verdict", func() bool { return w.Judged(t, 1, 12) == 12 })

	read := func(epoch uint64) []byte {
		data, err := w.Log.ReadAll(t.Context(), w.KeyOf(t, epoch))
		jobstest.Must(t, err)
		return data
	}
	write := func(key string, data []byte) { jobstest.Must(t, w.Log.WriteAll(t.Context(), key, data, nil)) }
	two, seven, eight := read(2), read(7), read(8)
	keySeven, keyEight := w.KeyOf(t, 7), w.KeyOf(t, 8)
	write(w.KeyOf(t, 2), two) // the same bytes, written anew
	write(fmt.Sprintf("3/%s/%s", jobstest.DigestAfter(1), jobstest.DigestAfter(2)), two)
	write(w.KeyOf(t, 5), []byte("replaced"))
	write(keySeven, eight)
	write(keyEight, seven)
	jobstest.MoveObject(t, w.Log, w.KeyOf(t, 10), "")

	want := []string{
		"1-contradiction.000000000005", "1-contradiction.000000000007", "1-contradiction.000000000008",
		"1-equivocation.000000000003", "1-withdrawn.000000000010",
	}
	told := func() (names []string) {
		for _, name := range jobstest.Notices(t, w.Store) {
			kind, rest, _ := strings.Cut(name, ".")
			names = append(names, kind+"."+rest[:min(len(rest), 12)])
		}
		return names
	}
	jobstest.Eventually(t, "each change is told", func() bool { return len(told()) >= len(want) })
	if got := told(); !slices.Equal(got, want) {
		t.Errorf("alerts are %q, want %q", got, want)
	}
	// The same bytes were audited again, which is on record, and accuse nobody.
	jobstest.Eventually(t, "epoch 2 was audited again", func() bool {
		object, err := w.Config.Fetcher.Locate(t.Context(), 2)
		if err != nil {
			return false
		}
		again, err := reaudited.Is(t.Context(), w.Store, jobstest.Namespace, 2, object.Listed())
		return err == nil && again
	})
	// All of it is looked at many times more, and nothing is told twice.
	same := func() float64 {
		n, _ := strconv.ParseFloat(series()["rechecked_epochs_total same"], 64)
		return n
	}
	before := same()
	jobstest.Eventually(t, "all was looked at again", func() bool { return same() >= before+100 })
	if got := told(); !slices.Equal(got, want) {
		t.Errorf("alerts are %q, want %q", got, want)
	}
}
