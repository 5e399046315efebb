package queue

import (
	"bytes"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
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
