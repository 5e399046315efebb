package golden_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/jobs/queue"
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
	_, err := w.store.Begun(namespace, backfillName).Put(t.Context(), before, []byte("{}"))
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

// schedule runs a scheduler until so many times are on record.
func scheduled(t *testing.T, w *world, times int) []object {
	t.Helper()
	for epoch := uint64(1); epoch <= 1010; epoch++ { // of which a thousand are no history
		w.write(t, fmt.Sprintf("%d/%s/%s", epoch, digest(epoch-1), digest(epoch)), nil)
	}
	redis, err := queue.Connect(t.Context(), queue.Embedded, zerolog.Nop())
	must(t, err)
	defer redis.Close()
	scheduler, err := schedule.New(redis, []schedule.Config{{
		Namespace: namespace, Fetcher: w.config.Fetcher, Store: w.store, First: 1, Poll: 100 * time.Millisecond, Window: 1000,
		Backfills: []schedule.BackfillPlan{{Cron: "@daily", Window: 10_000}},
	}}, zerolog.Nop())
	must(t, err)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- scheduler.Run(ctx) }()
	for len(marks(w)) < times {
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
