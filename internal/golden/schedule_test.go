package golden_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/jobs/begun"
	"github.com/ktaudit/ktaudit/jobs/queue/inprocess"
	"github.com/ktaudit/ktaudit/jobs/recheck"
	"github.com/ktaudit/ktaudit/jobs/schedule"
	"github.com/rs/zerolog"
)

// backfillName is what a backfill from epoch 1 to the newest, each day, is known by.
const backfillName = "1-newest-87c7bc67"

// scheduleNew has a scheduler see a backfill with a cron for the first time.
func scheduleNew(t *testing.T) []object { return scheduled(t, emptyWorld(t), 1) }

// scheduleAgain has a scheduler begin a backfill, one of whose times is on record.
func scheduleAgain(t *testing.T) []object {
	w := emptyWorld(t)
	before := time.Unix(86400, 0)
	_, err := begun.Of(w.store, namespace, backfillName).Put(t.Context(), before, []byte("{}"))
	must(t, err)
	all := scheduled(t, w, 2)
	for i, o := range all {
		if strings.HasSuffix(o.key, fmt.Sprintf("/%012d.json", before.Unix())) {
			return append(all[:i], all[i+1:]...)
		}
	}
	t.Fatal("what was on record is not there")
	return nil
}

// scheduleRecheck has a scheduler look again at what was judged, and take a sample.
func scheduleRecheck(t *testing.T) []object {
	isMark := func(o object) bool { return strings.Contains(o.key, "/recheck/") }
	isSample := func(o object) bool { return strings.Contains(o.key, "/sample/") }
	all := runScheduler(t, emptyWorld(t), schedule.Config{
		Recheck: recheck.Settings{After: []time.Duration{time.Second}, SampleOneIn: 1000, SampleBytes: 1 << 30},
	}, func(all []object) bool { return slices.ContainsFunc(all, isMark) && slices.ContainsFunc(all, isSample) })
	// There may have been another round meanwhile.
	return []object{all[slices.IndexFunc(all, isMark)], all[slices.IndexFunc(all, isSample)]}
}

// schedule runs a scheduler until so many times are on record.
func scheduled(t *testing.T, w *world, times int) []object {
	t.Helper()
	for epoch := uint64(1); epoch <= 1010; epoch++ { // of which a thousand are no history
		w.write(t, fmt.Sprintf("%d/%s/%s", epoch, digest(epoch-1), digest(epoch)), nil)
	}
	return runScheduler(t, w, schedule.Config{Backfills: []schedule.BackfillPlan{{Cron: "@daily", Window: 10_000}}},
		func(all []object) bool { return len(all) >= times })
}

// runScheduler runs a scheduler with some settings until enough is on record.
func runScheduler(t *testing.T, w *world, c schedule.Config, enough func(marks []object) bool) []object {
	t.Helper()
	c.Namespace, c.Fetcher, c.Store, c.First, c.Poll, c.Window = namespace, w.config.Fetcher, w.store, 1, 100*time.Millisecond, 1000
	scheduler, err := schedule.New(inprocess.New(), []schedule.Config{c}, zerolog.Nop())
	must(t, err)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- scheduler.Run(ctx) }()
	for !enough(marks(w)) {
		select {
		case <-w.audit.changed:
		case <-ctx.Done():
			t.Fatal("nothing was put on record within a minute")
		}
	}
	stop()
	must(t, <-ended)
	return marks(w)
}

func marks(w *world) []object {
	var all []object
	for _, o := range w.audit.objects() {
		if strings.Contains(o.key, "/schedule/") {
			all = append(all, o)
		}
	}
	return all
}
