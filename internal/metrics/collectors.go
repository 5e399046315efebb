package metrics

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/prometheus/client_golang/prometheus"
)

var (
	headDesc        = desc("head_epoch", "Last epoch up to which every epoch is verified.", "namespace")
	newestDesc      = desc("newest_published_epoch", "Newest epoch that the log has published.", "namespace")
	newestSinceDesc = desc("newest_published_timestamp_seconds",
		"When the newest published epoch was first seen; before any epoch was seen, when the scheduler first checked the log.", "namespace")
	lagEpochsDesc  = desc("lag_epochs", "Published epochs without a verdict.", "namespace")
	lagSecondsDesc = desc("lag_seconds", "Age of the oldest published epoch without a verdict; 0 if there is none.", "namespace")
)

// logCollector computes the lag when it is collected, so that it grows even if the scheduler hangs.
type logCollector struct {
	mu     sync.Mutex
	states map[string]observe.LogState // by namespace
}

func (c *logCollector) set(namespace string, s observe.LogState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.states[namespace] = s
}

func (c *logCollector) Describe(ch chan<- *prometheus.Desc) {
	send(ch, headDesc, newestDesc, newestSinceDesc, lagEpochsDesc, lagSecondsDesc)
}

func (c *logCollector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	states := maps.Clone(c.states)
	c.mu.Unlock()
	for namespace, s := range states {
		if s.Head > 0 {
			ch <- number(headDesc, float64(s.Head), namespace)
		}
		if s.Newest > 0 {
			ch <- number(newestDesc, float64(s.Newest), namespace)
		}
		if !s.NewestSince.IsZero() {
			ch <- number(newestSinceDesc, seconds(s.NewestSince), namespace)
		}
		lag := 0.0
		if s.Open > 0 && !s.OldestOpenSince.IsZero() {
			lag = max(0, time.Since(s.OldestOpenSince).Seconds())
		}
		ch <- number(lagEpochsDesc, float64(s.Open), namespace)
		ch <- number(lagSecondsDesc, lag, namespace)
	}
}

// Queues is the state of the queues of this process's logs.
type Queues struct {
	Queues  []Queue
	Workers map[string]int // by namespace: live workers, in all processes, that take its tasks
}

// Queue is the state of one queue.
type Queue struct {
	Namespace string
	Class     string // fresh or backfill

	Pending, Active, Retry, Archived int
	Paused                           bool
	OldestPending                    time.Duration
}

var (
	tasksDesc   = desc("queue_tasks", "Tasks on the queue, by state.", "namespace", "class", "state")
	pausedDesc  = desc("queue_paused", "1 if the queue is paused, else 0.", "namespace", "class")
	oldestDesc  = desc("queue_oldest_pending_seconds", "Waiting time of the oldest pending task.", "namespace", "class")
	workersDesc = desc("workers", "Live workers, in all processes, that take tasks of the log.", "namespace")
)

type queueCollector struct {
	names set
	state *cached[Queues]
}

// WatchQueues shows the state of the queues. It calls read when metrics are collected, but at most
// every few seconds. It may be called once. While read fails it shows nothing; the dependency redis
// shows why.
func (m *Metrics) WatchQueues(read func(context.Context) (Queues, error)) {
	if m != nil {
		m.registry.MustRegister(&queueCollector{m.names, newCached(read)})
	}
}

func (c *queueCollector) Describe(ch chan<- *prometheus.Desc) {
	send(ch, tasksDesc, pausedDesc, oldestDesc, workersDesc)
}

func (c *queueCollector) Collect(ch chan<- prometheus.Metric) {
	state, err := c.state.get(context.Background())
	if err != nil {
		return
	}
	for _, q := range state.Queues {
		if !c.names[q.Namespace] || !queueClasses[q.Class] {
			continue // two queues labelled other would be the same series twice
		}
		for name, n := range map[string]int{"pending": q.Pending, "active": q.Active, "retry": q.Retry, "archived": q.Archived} {
			ch <- number(tasksDesc, float64(n), q.Namespace, q.Class, name)
		}
		paused := 0.0
		if q.Paused {
			paused = 1
		}
		ch <- number(pausedDesc, paused, q.Namespace, q.Class)
		ch <- number(oldestDesc, q.OldestPending.Seconds(), q.Namespace, q.Class)
	}
	for namespace := range c.names {
		ch <- number(workersDesc, float64(state.Workers[namespace]), namespace)
	}
}

// dependency is a service that this process cannot work without.
type dependency struct {
	name  string
	state *cached[struct{}]
}

// WatchDependency shows whether a service answers, and makes readiness depend on it. The name is a
// plain word (redis, audit_store); each may be watched once.
func (m *Metrics) WatchDependency(name string, check func(context.Context) error) {
	if m == nil {
		return
	}
	d := &dependency{name, newCached(func(ctx context.Context) (struct{}, error) { return struct{}{}, check(ctx) })}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, known := range m.dependencies {
		if known.name == name {
			panic(fmt.Sprintf("metrics: dependency %s is watched twice", name))
		}
	}
	m.dependencies = append(m.dependencies, d)
}

// dependencyErrors checks all dependencies at the same time, and returns their errors by name.
func (m *Metrics) dependencyErrors(ctx context.Context) map[string]error {
	m.mu.Lock()
	dependencies := m.dependencies[:len(m.dependencies):len(m.dependencies)]
	m.mu.Unlock()
	answers := make([]error, len(dependencies))
	var all sync.WaitGroup
	for i, d := range dependencies {
		all.Go(func() { _, answers[i] = d.state.get(ctx) })
	}
	all.Wait()
	byName := map[string]error{}
	for i, d := range dependencies {
		byName[d.name] = answers[i]
	}
	return byName
}

var upDesc = desc("dependency_up", "1 if a service that this process needs answers, else 0.", "dependency")

type dependencyCollector Metrics

func (c *dependencyCollector) Describe(ch chan<- *prometheus.Desc) { ch <- upDesc }

func (c *dependencyCollector) Collect(ch chan<- prometheus.Metric) {
	for name, err := range (*Metrics)(c).dependencyErrors(context.Background()) {
		up := 1.0
		if err != nil {
			up = 0
		}
		ch <- number(upDesc, up, name)
	}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(prefix, "", name), help, labels, nil)
}

func number(d *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func send(ch chan<- *prometheus.Desc, all ...*prometheus.Desc) {
	for _, d := range all {
		ch <- d
	}
}
