package audit

import (
	"testing"

	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/rs/zerolog"
)

// BenchmarkEnqueue enqueues b.N epochs on a real Redis.
func BenchmarkEnqueue(b *testing.B) {
	r, err := queue.Connect(b.Context(), testservers.Redis(b).URL(), zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	e := &queue.Enqueuer{Redis: r, Namespace: "whatsapp.key-transparency.v1"}
	b.ResetTimer()
	if _, err := e.Enqueue(b.Context(), 1, uint64(b.N), nil); err != nil {
		b.Fatal(err)
	}
}
