package main

import (
	"testing"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/rs/zerolog"
)

// TestSignedQueueIsBounded: what there is no room for is left out, and nobody waits for it.
func TestSignedQueueIsBounded(t *testing.T) {
	t.Parallel()
	namespaces := []config.Namespace{{Namespace: "example", First: 10}}
	q, err := newSignedQueue(queueFlags{Redis: "redis://localhost:1"}, namespaces, &app{log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	dropped := 0
	q.dropped = func(namespace string) {
		if namespace != "example" {
			t.Errorf("left out of %s", namespace)
		}
		dropped++
	}
	for epoch := uint64(10); epoch < 10+maxSignedWaiting+7; epoch++ { // nobody takes any
		q.add("example", epoch)
	}
	q.add("example", 9) // not audited
	q.add("other", 10)
	if len(q.waiting) != maxSignedWaiting || dropped != 7 {
		t.Errorf("%d wait, %d were left out", len(q.waiting), dropped)
	}
	none, err := newSignedQueue(queueFlags{}, namespaces, &app{log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	none.add("example", 10)
	if len(none.waiting) != 0 {
		t.Error("without a queue, an epoch waits")
	}
}
