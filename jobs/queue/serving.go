package queue

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"
)

// Serving says how the tasks of some logs are handed out. All fields must be set.
//
// Of each log as many tasks are handed out at once as Concurrency says, so that one log's tasks,
// whatever becomes of them, never keep another's from being handed out; and its fresh epochs go
// strictly before its history (but a Redis that had none is asked again after 50 ms only), each
// class in about the order in which it was put on the queue. Those that were handed back are in
// front.
type Serving struct {
	Namespaces  []string
	Concurrency int // of each log
	// ShutdownTimeout is how long what is handed out may go on after the end. What is not done by
	// then is handed back to the queue, and its context ends.
	ShutdownTimeout time.Duration
	// PollInterval is how long an empty queue is left alone, if it has to be asked.
	PollInterval time.Duration

	// Handle does a task. After nil the task is forgotten, after an error or a panic it is tried
	// again. Its context ends after TaskTimeout, and then too the task is tried again.
	Handle func(ctx context.Context, t Taken) error
	// IsFailure tells whether an error counts as one, and RetryDelay how long a task rests after an
	// error, given how often it had failed before.
	IsFailure  func(error) bool
	RetryDelay func(failures int, err error) time.Duration

	Log zerolog.Logger
	// Trouble starts a line about the queue itself, of which there may be many.
	Trouble func(zerolog.Level) *zerolog.Event
}

// Taken is a task that was handed out.
type Taken struct {
	Task
	Class    Class
	Failures int // how often it failed before
}

// ErrLeaseLost is why the work at a task ends that may be another worker's by now.
var ErrLeaseLost = errors.New("the task's lease was not renewed in time, so that another worker may have it")

// Embedded stands, where the URL of a Redis may be, for a queue in this process: package inprocess.
const Embedded = "embedded"
