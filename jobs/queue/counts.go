package queue

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/hibiken/asynq"
)

// Counts says how many tasks of one class are in which state.
type Counts struct {
	Namespace string `json:"-"`
	Queue     string `json:"queue"`
	Class     Class  `json:"class"`
	Pending   int    `json:"pending"`
	Active    int    `json:"active"`
	// Abandoned are those of the active tasks that no worker holds.
	Abandoned int  `json:"abandoned,omitempty"`
	Retry     int  `json:"retry"`
	Archived  int  `json:"archived"`
	Paused    bool `json:"paused"`
	// OldestPending is how long the task that is next in line has waited.
	OldestPending time.Duration `json:"-"`
}

// ReadCounts returns the state of the queues of some logs. A queue that never had a task is empty.
func (r *Redis) ReadCounts(namespaces ...string) ([]Counts, error) {
	inspector := r.Inspector()
	known, err := inspector.Queues()
	if err != nil {
		return nil, err
	}
	var all []Counts
	for _, namespace := range namespaces {
		for _, class := range Classes {
			counts := Counts{Namespace: namespace, Queue: Name(namespace, class), Class: class}
			if slices.Contains(known, counts.Queue) {
				info, err := inspector.GetQueueInfo(counts.Queue)
				if err != nil {
					return nil, err
				}
				counts.take(info)
				held, err := r.Client.ZCount(context.Background(), Key(counts.Queue, "lease"), strconv.FormatInt(time.Now().Add(-leaseGrace).Unix(), 10), "+inf").Result()
				if err != nil {
					return nil, err
				}
				counts.Abandoned = max(0, counts.Active-int(held))
			}
			all = append(all, counts)
		}
	}
	return all, nil
}

func (c *Counts) take(info *asynq.QueueInfo) {
	c.Pending, c.Active = info.Pending, info.Active
	c.Retry, c.Archived = info.Retry+info.Scheduled, info.Archived
	c.Paused, c.OldestPending = info.Paused, info.Latency
}

// LiveWorkers returns how many workers are alive for each of some logs, by namespace.
func (r *Redis) LiveWorkers(namespaces ...string) (map[string]int, error) {
	servers, err := r.Inspector().Servers()
	if err != nil {
		return nil, err
	}
	workers := map[string]int{}
	for _, server := range servers {
		for _, namespace := range namespaces {
			if _, serves := server.Queues[Name(namespace, Fresh)]; serves && server.Status == "active" {
				workers[namespace]++
			}
		}
	}
	return workers, nil
}
