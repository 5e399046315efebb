package queue_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/jobs/queue"
)

// A scheduler is alive from when it begins to when it ends. One that was killed says no goodbye;
// its name is there for a while, and does not count once its time is over.
func TestLiveSchedulers(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		alive := func() int {
			n, err := r.LiveSchedulers(t.Context(), jobstest.Namespace)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := alive(); n != 0 {
			t.Errorf("%d are alive before the first", n)
		}
		stop := announce(t, r)
		stopOther := announce(t, r)
		jobstest.Eventually(t, "both schedulers are alive", func() bool { return alive() == 2 })
		stop()
		if n := alive(); n != 1 {
			t.Errorf("%d are alive after one of two has ended", n)
		}
		queuetest.Do(t, r, "ZADD", queue.SchedulersKey(jobstest.Namespace), time.Now().Add(-time.Minute).UnixMilli(), "killed")
		if n := alive(); n != 1 {
			t.Errorf("%d are alive beside one that was killed", n)
		}
		stopOther()
		if n := alive(); n != 0 {
			t.Errorf("%d are alive after all have ended", n)
		}
	})
}

func announce(t *testing.T, r *queue.Redis) (stop func()) {
	return jobstest.Background(t, func(ctx context.Context) error {
		r.AnnounceScheduler(ctx, []string{"another.log", jobstest.Namespace})
		return nil
	})
}

// What waits is listed with why, whether that is a fault, and when it is tried again.
func TestWaitingEpochs(t *testing.T) {
	t.Parallel()
	queuetest.OnEachRedis(t, func(t *testing.T, r *queue.Redis) {
		if got, err := r.WaitingEpochs(jobstest.Namespace); err != nil || got != nil {
			t.Errorf("of a log without a queue: %+v, error %v", got, err)
		}
		fail(t, r, 7, errors.New("not published"), false)
		fail(t, r, 4, errors.New("the network is down"), true)
		got, err := r.WaitingEpochs(jobstest.Namespace)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if until := time.Until(got[i].NextAt); until < 50*time.Minute || until > time.Hour {
				t.Errorf("epoch %d is tried again in %s, want an hour", got[i].Epoch, until)
			}
			got[i].NextAt = time.Time{}
		}
		want := []queue.WaitingEpoch{
			{Epoch: 4, Class: queue.Backfill, Fault: true, Failures: 1, Why: "the network is down"},
			{Epoch: 7, Class: queue.Backfill, Why: "not published"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// fail has a server of asynq's try an epoch once, and put it off by an hour.
func fail(t *testing.T, r *queue.Redis, epoch uint64, why error, isFault bool) {
	t.Helper()
	queuetest.MustEnqueue(t, queuetest.Enqueuer(r), epoch, epoch, queue.EnqueueCounts{Enqueued: 1})
	server := asynq.NewServerFromRedisClient(r.Client, asynq.Config{
		Queues: map[string]int{queuetest.Backfill: 1}, LogLevel: asynq.FatalLevel, Logger: silent{}, TaskCheckInterval: 10 * time.Millisecond,
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Hour },
		IsFailure:      func(error) bool { return isFault },
	})
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return why })); err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	jobstest.Eventually(t, "the epoch waits", func() bool {
		waiting, err := r.WaitingEpochs(jobstest.Namespace)
		return err == nil && slices.ContainsFunc(waiting, func(w queue.WaitingEpoch) bool { return w.Epoch == epoch })
	})
}

type silent struct{}

func (silent) Debug(...any) {}
func (silent) Info(...any)  {}
func (silent) Warn(...any)  {}
func (silent) Error(...any) {}
func (silent) Fatal(...any) {}
