package queue

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs/queue/command"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
)

const someQueue = "some.log:backfill"

func connect(t *testing.T) *Redis {
	t.Helper()
	r, err := Connect(t.Context(), testservers.Redis(t).URL(), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// sent has a hook see commands, and returns those that it sends on, which all succeed.
func sent(t *testing.T, r *Redis, all ...redis.Cmder) (on [][]any) {
	t.Helper()
	process := hook{&r.leases, &r.noFresh}.ProcessHook(func(_ context.Context, cmd redis.Cmder) error {
		on = append(on, cmd.Args())
		return nil
	})
	for _, cmd := range all {
		if err := process(t.Context(), cmd); err != nil {
			t.Errorf("%v ends with %v", cmd.Args(), err)
		}
	}
	return on
}

// renewal is what asynq sends for the tasks that it works on.
func renewal(t *testing.T, ids ...string) redis.Cmder {
	args := []any{"zadd", Key(someQueue, "lease"), "xx"}
	for _, id := range ids {
		args = append(args, float64(time.Now().Add(leaseFor).Unix()), id)
	}
	return redis.NewIntCmd(t.Context(), args...)
}

// ending is what asynq sends when a run at a task has ended.
func ending(t *testing.T, id string) redis.Cmder {
	return redis.NewCmd(t.Context(), "evalsha", "of done", 3, Key(someQueue, "active"), Key(someQueue, "lease"), Key(someQueue, "t:"+id), id)
}

// hold holds a task, and returns the context of the run, and how it ends.
func hold(t *testing.T, r *Redis, id string) (context.Context, func()) {
	t.Helper()
	ctx, release := r.hold(t.Context(), someQueue, id)
	if ctx.Err() != nil {
		t.Fatal(context.Cause(ctx))
	}
	return ctx, release
}

// loseAll has time pass in which nothing was renewed.
func loseAll(t *testing.T, r *Redis, ctx context.Context) {
	t.Helper()
	r.leases.giveUp(time.Now().Add(GiveUpAfter))
	if cause := context.Cause(ctx); !errors.Is(cause, ErrLeaseLost) {
		t.Fatalf("the run goes on after its lease was lost: %v", cause)
	}
}

// asynq goes on to renew the leases of tasks that were lost. Of these nothing is sent.
func TestLostLeasesAreNotRenewed(t *testing.T) {
	t.Parallel()
	r := connect(t)
	run, _ := hold(t, r, "lost")
	loseAll(t, r, run)
	_, release := hold(t, r, "held")
	defer release()
	if on := sent(t, r, renewal(t, "lost")); on != nil {
		t.Errorf("sent is %v", on)
	}
	on := sent(t, r, renewal(t, "lost", "held", "another"))
	if len(on) != 1 || !cmp.Equal([]any{"zadd", "xx", "held", "another"}, []any{on[0][0], on[0][2], on[0][4], on[0][6]}) || len(on[0]) != 7 {
		t.Errorf("sent is %v", on)
	}
}

// A task that was lost may come back to the process that lost it. It is not begun with until the
// run that lost it has ended, and what asynq says of that end does not end the new run.
func TestARunThatLostItsTaskDoesNotEndTheNext(t *testing.T) {
	t.Parallel()
	r := connect(t)
	run, release := hold(t, r, "again")
	loseAll(t, r, run)
	var mu sync.Mutex
	var order []string
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, what)
	}
	begun := make(chan func())
	go func() {
		_, release := r.hold(t.Context(), someQueue, "again")
		note("begun")
		begun <- release
	}()
	jobstest.Eventually(t, "the next run waits", func() bool { return isHeld(r, "again") })
	if on := sent(t, r, renewal(t, "again")); len(on) != 1 {
		t.Errorf("while it waits its lease is not renewed: %v", on)
	}
	release()
	note("the first has ended")
	if on := sent(t, r, ending(t, "again")); on != nil {
		t.Errorf("the end of the first was sent: %v", on)
	}
	releaseNext := <-begun
	if diff := cmp.Diff([]string{"the first has ended", "begun"}, order); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	releaseNext()
	if on := sent(t, r, ending(t, "again")); len(on) != 1 {
		t.Errorf("the end of the second was not sent: %v", on)
	}
}

// A run that hangs for ever after it lost its task does not keep the task from being done.
func TestARunThatHangsKeepsNoTask(t *testing.T) {
	t.Parallel()
	r := connect(t)
	r.leases.patience = time.Millisecond
	run, _ := hold(t, r, "hanging")
	loseAll(t, r, run)
	for _, sends := range []int{0, 1} { // the first end could be that of the run that hangs
		_, release := hold(t, r, "hanging")
		release()
		if on := sent(t, r, ending(t, "hanging")); len(on) != sends {
			t.Errorf("sent is %v, want %d", on, sends)
		}
	}
}

// Of a task that is held twice, since asynq did not wait for the first run, the second run's lease
// outlasts the first.
func TestAReleaseEndsNoOtherRunsLease(t *testing.T) {
	t.Parallel()
	r := connect(t)
	_, releaseFirst := hold(t, r, "twice")
	second, release := hold(t, r, "twice")
	releaseFirst()
	if !isHeld(r, "twice") {
		t.Error("the second run holds nothing")
	}
	loseAll(t, r, second)
	release()
}

// What asynq's recoverer says of a task whose run goes on, as often as it does, is not taken for the
// end of that run, which is not sent either.
func TestTheRecovererEndsNoRun(t *testing.T) {
	t.Parallel()
	r := connect(t)
	run, release := hold(t, r, "recovered")
	loseAll(t, r, run)
	if on := sent(t, r, ending(t, "recovered"), ending(t, "recovered")); on != nil {
		t.Errorf("sent is %v", on)
	}
	release()
	if on := sent(t, r, ending(t, "recovered")); on != nil {
		t.Errorf("the end of the run that lost the task was sent: %v", on)
	}
	if on := sent(t, r, ending(t, "recovered")); len(on) != 1 {
		t.Errorf("a later run's end was not sent: %v", on)
	}
}

// A lost task is put back once: another worker's clock may write the same score later.
func TestALostTaskIsPutBackOnce(t *testing.T) {
	t.Parallel()
	r := connect(t)
	run, release := hold(t, r, "back")
	defer release()
	sent(t, r, renewal(t, "back"))
	loseAll(t, r, run)
	lost := func() []lease {
		r.leases.lost[Key(someQueue, "t:back")].renewed = time.Now().Add(-abandonedAfter)
		_, lost := r.leases.byQueue()
		return lost[someQueue]
	}
	r.reviveLost(t.Context(), lost())
	if again := lost(); len(again) != 0 {
		t.Errorf("it is put back again: %+v", again)
	}
}

// What is lost when its renewal comes too late counts among what is lost.
func TestLateRenewalsAreLosses(t *testing.T) {
	t.Parallel()
	r := connect(t)
	run, release := hold(t, r, "late")
	defer release()
	r.leases.held[Key(someQueue, "t:late")].renewed = time.Now().Add(-GiveUpAfter)
	sent(t, r, renewal(t, "late"))
	if n := r.leases.giveUp(time.Now()); n != 1 || !errors.Is(context.Cause(run), ErrLeaseLost) {
		t.Errorf("%d tasks were lost: %v", n, context.Cause(run))
	}
}

func isHeld(r *Redis, id string) bool {
	r.leases.mu.Lock()
	defer r.leases.mu.Unlock()
	return r.leases.held[Key(someQueue, "t:"+id)] != nil
}

// asynq may say nothing of a run's end. The task is not closed to this process for ever.
func TestALostTaskIsForgotten(t *testing.T) {
	t.Parallel()
	r := connect(t)
	run, release := hold(t, r, "silent")
	loseAll(t, r, run)
	r.leases.giveUp(time.Now().Add(2 * lostFor))
	if on := sent(t, r, renewal(t, "silent")); on != nil {
		t.Errorf("a run that goes on was forgotten: %v", on)
	}
	release()
	r.leases.giveUp(time.Now().Add(2 * lostFor))
	_, release = hold(t, r, "silent")
	release()
	if on := sent(t, r, ending(t, "silent")); len(on) != 1 {
		t.Errorf("its next end was not sent: %v", on)
	}
}

// Since when a task is in flight is found by its whole ID, in the messages that asynq writes.
func TestDequeuedTasksAreFoundByTheirID(t *testing.T) {
	t.Parallel()
	r := connect(t)
	client := asynq.NewClientFromRedisClient(r.Client)
	began := time.Now().Add(-time.Hour)
	for i, id := range []string{"log/12", "log/1"} {
		if _, err := client.Enqueue(asynq.NewTask("audit", []byte("of log/1")), asynq.Queue(someQueue), asynq.TaskID(id)); err != nil {
			t.Fatal(err)
		}
		dequeue := redis.NewCmd(t.Context(), "evalsha", "of dequeue", 4,
			Key(someQueue, "pending"), Key(someQueue, "paused"), Key(someQueue, "active"), Key(someQueue, "lease"))
		dequeue.SetVal(r.Client.HGet(t.Context(), Key(someQueue, "t:"+id), "msg").Val())
		r.leases.noteSuccess(command.Parse(dequeue), dequeue, began.Add(time.Duration(i)*time.Minute))
	}
	if at := r.leases.takenAt(Key("some.log:fresh", "t:log/1")); time.Since(at) > time.Minute {
		t.Errorf("the task of another queue is taken for it, since %s", at)
	}
	if at := r.leases.takenAt(Key(someQueue, "t:log/1")); !at.Equal(began.Add(time.Minute)) {
		t.Errorf("taken at %s, want a minute after %s", at, began)
	}
	if at := r.leases.takenAt(Key(someQueue, "t:log/12")); !at.Equal(began) {
		t.Errorf("taken at %s, want %s", at, began)
	}
	if at := r.leases.takenAt(Key(someQueue, "t:log/1")); time.Since(at) > time.Minute {
		t.Errorf("a time is used twice: %s", at)
	}
	for _, junk := range []string{"", "\x1a", "\x1a\x7f", "\xff\xff", "\x18\x05"} {
		if id := messageID(junk); id != "" {
			t.Errorf("%q has the ID %q", junk, id)
		}
	}
}

// A queue whose Redis does not answer keeps no other queue's leases from being renewed.
func TestAQueueThatHangsKeepsNoOtherLease(t *testing.T) {
	t.Parallel()
	r := connect(t)
	var renewed atomic.Int64
	stop := make(chan struct{})
	r.Client.AddHook(beforeCommands(func(cmd redis.Cmder) {
		switch {
		case !slices.Equal(cmd.Args()[:1], []any{"zadd"}):
		case cmd.Args()[1] == Key("hanging.log:backfill", "lease"):
			<-stop
		default:
			renewed.Add(1)
		}
	}))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	defer func() { cancel(); close(stop); <-ended }()
	_, release := r.hold(ctx, "hanging.log:backfill", "1")
	defer release()
	_, release = hold(t, r, "1")
	defer release()
	go func() { r.keepLeases(ctx, zerolog.Nop()); close(ended) }()
	jobstest.Eventually(t, "the other queue's is renewed again and again", func() bool { return renewed.Load() >= 3 })
}

// beforeCommands is a hook that is called before each command.
type beforeCommands func(redis.Cmder)

func (beforeCommands) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f beforeCommands) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		f(cmd)
		return next(ctx, cmd)
	}
}

func (beforeCommands) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
