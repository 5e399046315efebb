package queue

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
)

// A right that is missing is told of once, and what is wrong with Redis not by asynq's words.
func TestAsynqSaysOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	server, err := miniredis.Run()
	if err != nil {
		t.Fatal(err)
	}
	gone, err := Connect(t.Context(), "redis://"+server.Addr(), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	server.Close()
	to := zerolog.New(&log).Level(zerolog.InfoLevel)
	l := &asynqLogger{log: to, trouble: func(level zerolog.Level) *zerolog.Event { return to.WithLevel(level) }, told: gone.FailedLately}
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

// A worker that has history to do does not ask for a fresh epoch before each.
func TestFreshEpochsAreAskedForNowAndThen(t *testing.T) {
	t.Parallel()
	r := connect(t)
	dequeue := func(class Class) error {
		queue := Name("some.log", class)
		return redis.NewScript(`
			if redis.call("EXISTS", KEYS[2]) == 1 then return nil end
			return redis.call("RPOPLPUSH", KEYS[1], KEYS[3])`).Run(t.Context(), r.Client,
			[]string{Key(queue, "pending"), Key(queue, "paused"), Key(queue, "active"), Key(queue, "lease")}).Err()
	}
	put := func(class Class) {
		t.Helper()
		if err := r.Client.LPush(t.Context(), Key(Name("some.log", class), "pending"), "id", "id", "id").Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := dequeue(Fresh); err != redis.Nil {
		t.Fatal(err)
	}
	put(Fresh)
	put(Backfill)
	asked := r.noFresh.at[Key(Name("some.log", Fresh), "pending")]
	r.noFresh.note(Key(Name("some.log", Fresh), "pending"), asked.Add(time.Hour)) // as if it was just asked
	if err := dequeue(Fresh); err != redis.Nil {
		t.Errorf("a fresh queue that was just found empty is asked again: %v", err)
	}
	if err := dequeue(Backfill); err != nil {
		t.Errorf("history: %v", err)
	}
	r.noFresh.note(Key(Name("some.log", Fresh), "pending"), asked.Add(-askFreshEvery))
	for range 3 {
		if err := dequeue(Fresh); err != nil {
			t.Errorf("one that was found empty some time ago: %v", err)
		}
	}
}
