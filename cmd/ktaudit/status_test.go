package main

import (
	"testing"

	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/rs/zerolog"
)

// A Redis that does not answer takes nothing from a status but the counts of the queues.
func TestStatusWithoutRedis(t *testing.T) {
	t.Parallel()
	server := testservers.Redis(t)
	r, err := queue.Connect(t.Context(), server.URL(), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	server.Kill()
	var got queueState
	got.read(r, "example")
	if got.QueueNote == "" || got.Queues != nil {
		t.Errorf("%+v", got)
	}
}
