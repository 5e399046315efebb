package queue

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/verdict"
)

// TypeAudit is the asynq type name of the task that audits one epoch.
const TypeAudit = "ktaudit:audit"

// TaskTimeout is how long one attempt at an epoch may take before its slot is given away.
const TaskTimeout = 30 * time.Minute

// maxRetry makes the retry budget practically endless. asynq archives a task whose budget is used
// up, even when the error was none of its own; an epoch must never be given up because a network
// was down for a week.
const maxRetry = 1<<31 - 1

// maxPayload is more than a task of the longest namespace takes.
const maxPayload = 512

// Class of a queue. Fresh epochs go ahead of history.
type Class string

const (
	Fresh    Class = "fresh"    // epochs that have just been published
	Backfill Class = "backfill" // history
)

// Classes lists every Class, the most urgent first.
var Classes = []Class{Fresh, Backfill}

// Name returns the asynq queue that holds a namespace's tasks of one class. Each namespace has its
// own queues, so that a worker only sees the logs that it is configured for. In Redis Cluster a
// queue lives in one slot.
func Name(namespace string, c Class) string { return namespace + ":" + string(c) }

// Task says which epoch of which log to audit.
type Task struct {
	Namespace string `json:"namespace"`
	Epoch     uint64 `json:"epoch"`
	// Reaudit is to audit the epoch once more, though it has a verdict. A worker of an earlier
	// version does not see it, and finds the verdict on record.
	Reaudit bool `json:"reaudit,omitempty"`
}

// ID names the task in Redis. It depends on nothing but the epoch and what is to be done with it,
// so that an epoch that is on the queue cannot be put there twice. EpochOfID takes none of those of
// a Reaudit.
func (t Task) ID() string {
	kind := "/"
	if t.Reaudit {
		kind = "/reaudit/"
	}
	return t.Namespace + kind + strconv.FormatUint(t.Epoch, 10)
}

// generation returns the ID under which the task is enqueued when the IDs before it are blocked:
// see Enqueuer.
func (t Task) generation(n int) string {
	if n == 0 {
		return t.ID()
	}
	return t.ID() + "~" + strconv.Itoa(n)
}

// EpochOfID reads the epoch out of what ID or generation made, but for a Reaudit.
func EpochOfID(namespace, id string) (uint64, bool) {
	rest, ok := strings.CutPrefix(id, namespace+"/")
	if !ok {
		return 0, false
	}
	rest, _, _ = strings.Cut(rest, "~")
	epoch, err := strconv.ParseUint(rest, 10, 64)
	return epoch, err == nil
}

// ParseTask reads a task's payload. The queue is shared with whoever can reach Redis, so it is not
// trusted.
func ParseTask(payload []byte) (Task, error) {
	if len(payload) > maxPayload {
		return Task{}, fmt.Errorf("task payload of %d bytes: want at most %d", len(payload), maxPayload)
	}
	var t Task
	if err := json.Unmarshal(payload, &t); err != nil {
		return Task{}, fmt.Errorf("task payload %.100q: %w", payload, err)
	}
	if verdict.CheckNamespace(t.Namespace) != nil || t.Epoch == 0 {
		return Task{}, fmt.Errorf("task payload %.100q lacks a namespace or an epoch", payload)
	}
	return t, nil
}
