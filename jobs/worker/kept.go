package worker

import "github.com/ktaudit/ktaudit/internal/text"

// A queue keeps the text of a task's last error in the task. What a log's server says can be any
// length, there are thousands of tasks, and a task is to take less than 1 KB of Redis. Its key, ID,
// queue and payload have the namespace in them five times.
const (
	keptMost, keptLeast = 400, 100
	keptWithNamespace   = 700
	namespaceTimes      = 5
)

// keptError is an error whose text is fit to be kept in a task. It is the same error otherwise:
// what the queue and retryDelay ask of it is asked of the cause.
type keptError struct {
	cause error
	limit int
}

// kept returns err as a task of the namespace keeps it, nil for nil.
func kept(namespace string, err error) error {
	if err == nil {
		return nil
	}
	return &keptError{err, max(keptLeast, min(keptMost, keptWithNamespace-namespaceTimes*len(namespace)))}
}

func (e *keptError) Error() string { return text.Clean(e.cause.Error(), e.limit) }
func (e *keptError) Unwrap() error { return e.cause }
