package main

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// scaled is an audit of many small epochs by a number of workers, and what it asked of Redis.
type scaled struct {
	workers, epochs int
	rate            float64       // epochs a second, from the first verdict to the last
	workerCPU       time.Duration // of all workers
	enqueuing       redisSpent    // putting all epochs on the queue
	auditing        redisSpent    // taking them from there, and all that follows
	idle            redisSpent    // while the workers had nothing to do
	idleFor         time.Duration
}

// measureScale has different numbers of workers audit the same small epochs beside one Redis.
func measureScale(ctx context.Context, b *bench) (string, error) {
	if err := tryRedis(); err != nil {
		return "", &leftOutError{err.Error()}
	}
	log, err := b.smallLog(ctx)
	if err != nil {
		return "", err
	}
	var ways []func(context.Context) (scaled, error)
	for _, workers := range b.scaleWorkers {
		ways = append(ways, func(ctx context.Context) (scaled, error) { return b.scale(ctx, log, workers) })
	}
	all, err := inTurns(ctx, fmt.Sprintf("%d small epochs with %s workers", b.scaleEpochs, joined(b.scaleWorkers)), b.longRuns, ways...)
	if err != nil {
		return "", err
	}
	var results []scaled
	for _, runs := range all {
		results = append(results, middle(runs, func(s scaled) float64 { return s.rate }))
	}
	return scaleTable(results, b.longRuns, runtime.NumCPU()), nil
}

// scale puts all epochs on the queue, and then starts the workers, each on one core.
func (b *bench) scale(ctx context.Context, log string, workers int) (s scaled, err error) {
	redis, err := startRedis()
	if err != nil {
		return s, err
	}
	defer redis.Close()
	folder, store, err := b.newStore()
	if err != nil {
		return s, err
	}
	s.workers, s.epochs = workers, b.scaleEpochs
	common := []string{"--namespace", namespace, "--redis", redis.URL(), "--audit-store", store}
	before, err := redis.spent(ctx)
	if err != nil {
		return s, err
	}
	if _, err := process(ctx, nil, append([]string{b.ktaudit, "enqueue", "--from", "1", "--to", strconv.Itoa(s.epochs)}, common...)...); err != nil {
		return s, err
	}
	enqueued, err := redis.spent(ctx)
	if err != nil {
		return s, err
	}
	s.enqueuing = enqueued.minus(before)

	f := newFleet(folder)
	defer f.kill()
	for i := range workers {
		argv := append([]string{b.ktaudit, "worker", "--log-directory", log}, common...)
		if err := f.start(ctx, "worker", i%runtime.NumCPU(), argv...); err != nil {
			return s, err
		}
	}
	first, early, end, err := f.await(ctx, store, s.epochs)
	if err != nil {
		return s, err
	}
	s.rate = float64(s.epochs-early) / max(1e-3, end.Sub(first).Seconds())
	audited, err := redis.spent(ctx)
	if err != nil {
		return s, err
	}
	s.auditing = audited.minus(enqueued)
	if s.idleFor, s.idle, err = watchIdle(ctx, redis, b.idle); err != nil {
		return s, err
	}
	used, err := f.stop()
	s.workerCPU = used["worker"].cpu
	return s, err
}

// watchIdle says what Redis does for a while. The end of the last epochs comes before that.
func watchIdle(ctx context.Context, redis *redisServer, wait time.Duration) (time.Duration, redisSpent, error) {
	time.Sleep(100 * time.Millisecond)
	start := time.Now()
	before, err := redis.spent(ctx)
	if err != nil {
		return 0, redisSpent{}, err
	}
	time.Sleep(wait)
	after, err := redis.spent(ctx)
	return time.Since(start), after.minus(before), err
}

// limit is how many epochs a second one Redis can at most put on the queue and hand out, besides
// the workers' asking, as its commands run on one core: 1 / CPU time per epoch.
func (s scaled) limit() float64 {
	return float64(s.epochs) / (s.enqueuing.cpu + s.auditing.cpu).Seconds()
}

// feeds is how many cores full of workers that is.
func (s scaled) feeds() float64 { return s.limit() * per(s.workerCPU, s.epochs).Seconds() }

func scaleTable(results []scaled, runs, cores int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s epochs of %d insertions, 21 kB each, log and audit store on local disk. All are put on the queue of a Redis of its own first; "+
		"then the workers start, each on one of %d cores, which they share with Redis. The rate is from the first verdict to the last; %s, in turns. "+
		"Commands inside scripts are counted; requests are what comes over connections.\n\n",
		count(results[0].epochs), smallInserted, cores, medianOf(runs))
	head(&b, ">workers", ">epochs/s", ">cores in use", ">CPU of workers per epoch", ">of Redis, to enqueue", ">of Redis, to hand out", ">commands per epoch",
		">requests per epoch", ">idle: commands/s a worker", ">idle: share of Redis a worker", ">one Redis: epochs/s at most", ">cores of workers that it feeds")
	for _, s := range results {
		whole := redisSpent{commands: s.enqueuing.commands + s.auditing.commands, requests: s.enqueuing.requests + s.auditing.requests}
		idle := float64(s.workers) * s.idleFor.Seconds()
		inUse := s.rate * (per(s.workerCPU, s.epochs) + per(s.auditing.cpu, s.epochs)).Seconds()
		row(&b, count(s.workers), perSecond(s.rate), significant(inUse), duration(per(s.workerCPU, s.epochs)), duration(per(s.enqueuing.cpu, s.epochs)),
			duration(per(s.auditing.cpu, s.epochs)), significant(float64(whole.commands)/float64(s.epochs)),
			significant(float64(whole.requests)/float64(s.epochs)), significant(float64(s.idle.commands)/idle),
			fmt.Sprintf("%.2f %%", 100*s.idle.cpu.Seconds()/idle), perSecond(s.limit()), significant(s.feeds()))
	}
	return b.String()
}
