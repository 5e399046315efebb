package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"
)

// WorkerConfig says how a worker works. The zero value has usable defaults.
type WorkerConfig struct {
	// Concurrency is how many epochs are in flight at once. 0 means four for each core: most of an epoch's time is
	// waiting for the network, and the Budget holds back big ones.
	Concurrency int
	// ShutdownTimeout is how long epochs in flight may go on after the worker was told to stop. What is not done by then is handed
	// back to the queue. 0 means 30 s.
	ShutdownTimeout time.Duration
	// NotYetDelay is how long an epoch that is not published or not signed yet rests. 0 means 30 s.
	NotYetDelay time.Duration
	// MaxRetryDelay bounds the growing pause after faults. 0 means 10 min.
	MaxRetryDelay time.Duration
}

// Worker takes epochs from the queues and audits them.
type Worker struct{}

// NewWorker returns a worker for the logs that auditors audit.
func NewWorker(r *Redis, auditors []*Auditor, c WorkerConfig, log zerolog.Logger) (*Worker, error) {
	return nil, errors.New("not built yet")
}

// Run works until ctx ends (a signal, say). It then takes no more epochs, finishes those in flight or hands them back, and
// returns nil. A returned error means that the worker did not start.
func (w *Worker) Run(ctx context.Context) error { return errors.New("not built yet") }
