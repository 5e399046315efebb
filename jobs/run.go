package jobs

import (
	"context"
	"errors"
	"time"
)

// RunConfig says what Run does. From, To and the fields without a default must be set.
type RunConfig struct {
	From, To uint64
	// Window is how many epochs are on the queue at most. 0 means 10,000.
	Window int
	// NotPublishedWait is how long Run waits for an epoch that is not published or not signed, from when it first
	// looked. After that the epoch counts as missing. 0 means one look and no waiting.
	NotPublishedWait time.Duration
	// FaultWait is how long Run goes on trying an epoch that faults keep from a verdict. After that it counts as failed. 0
	// means 10 min.
	FaultWait time.Duration
	Worker    WorkerConfig
	// Progress, if not nil, is called after every change, from one goroutine at a time.
	Progress func(RunSummary)
}

// RunSummary says how far a run has come.
type RunSummary struct {
	Total    uint64 `json:"total"`
	Verified uint64 `json:"verified"`
	Rejected uint64 `json:"rejected"`
	Missing  uint64 `json:"missing"` // not published or not signed within the wait
	Failed   uint64 `json:"failed"`  // could not be judged because of faults
}

// Settled is how many epochs nothing more will happen to in this run.
func (s RunSummary) Settled() uint64 { return s.Verified + s.Rejected + s.Missing + s.Failed }

// Run audits a range of epochs in this process and returns when each has a verdict in the audit store or was given up.
// Killed at any moment, it goes on where it was when run again. Other workers on the same Redis may help.
//
// Exit status of a program: 2 if err != nil or Failed > 0, else 1 if Rejected or Missing > 0, else 0.
func Run(ctx context.Context, r *Redis, a *Auditor, c RunConfig) (RunSummary, error) {
	return RunSummary{}, errors.New("not built yet")
}
