package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ktaudit/ktaudit/verdict"
)

// ErrNoQueue says that nothing of a namespace was ever on a queue of this Redis: most likely the
// name or the Redis is not the one that was meant. Redis may also have lost its data.
var ErrNoQueue = errors.New("no epoch of it was ever on the queue")

// PausedQueue says what Pause or Resume did to a queue.
type PausedQueue struct {
	Queue   string `json:"queue"`
	Class   Class  `json:"class"`
	Paused  bool   `json:"paused"`
	Changed bool   `json:"changed"` // false: it was so already
}

// Pause keeps workers from taking epochs from the queues of a namespace, of one class or, if that
// is empty, of all. Epochs at which a worker is go on, and epochs may be enqueued as before. It
// holds until Resume, also when workers are restarted; a Redis that loses its data loses this, too.
// To pause what is paused changes nothing.
//
// ErrNoQueue if the namespace has no queue. If it has one of another class, the queue is paused
// before its first epoch.
func Pause(ctx context.Context, r *Redis, namespace string, class Class) ([]PausedQueue, error) {
	return setPaused(ctx, r, namespace, class, true)
}

// Resume takes Pause back.
func Resume(ctx context.Context, r *Redis, namespace string, class Class) ([]PausedQueue, error) {
	return setPaused(ctx, r, namespace, class, false)
}

func setPaused(ctx context.Context, r *Redis, namespace string, class Class, paused bool) ([]PausedQueue, error) {
	if err := verdict.CheckNamespace(namespace); err != nil {
		return nil, err
	}
	known, err := r.Inspector().Queues()
	if err != nil {
		return nil, fmt.Errorf("redis at %s: %w", r, err)
	}
	if !slices.ContainsFunc(Classes, func(c Class) bool { return slices.Contains(known, Name(namespace, c)) }) {
		return nil, fmt.Errorf("namespace %s, redis at %s: %w", namespace, r, ErrNoQueue)
	}
	var queues []PausedQueue
	for _, c := range Classes {
		if class != "" && class != c {
			continue
		}
		changed, err := r.setPaused(ctx, Name(namespace, c), paused)
		if err != nil {
			return queues, err
		}
		queues = append(queues, PausedQueue{Name(namespace, c), c, paused, changed})
	}
	return queues, nil
}

// setPaused brings one queue into a state and reports whether it was in the other. asynq refuses to
// bring it into the state that it is in, with an error that has no name, so whether it is one is
// looked up.
func (r *Redis) setPaused(ctx context.Context, queue string, paused bool) (changed bool, err error) {
	set := r.Inspector().UnpauseQueue
	if paused {
		set = r.Inspector().PauseQueue
	}
	refused := set(queue)
	if refused == nil {
		return true, nil
	}
	keys, err := r.Client.Exists(ctx, Key(queue, "paused")).Result()
	if err != nil {
		return false, fmt.Errorf("redis at %s: %w", r, err)
	}
	if (keys > 0) != paused {
		return false, fmt.Errorf("redis at %s: %w", r, refused)
	}
	return false, nil
}
