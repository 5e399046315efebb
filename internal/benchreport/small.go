package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The epochs of the log of small ones have some 21 kB each, and the last is as long as the first.
const (
	smallInserted  = 20
	smallDirectory = 100_000_000
)

// smallLog simulates the log of small epochs once, and returns its folder.
func (b *bench) smallLog(ctx context.Context) (string, error) {
	if b.small != "" {
		return b.small, nil
	}
	progress("simulating %d small epochs", b.smallEpochs)
	folder := filepath.Join(b.dir, "small")
	_, err := b.simulateLog(ctx, folder, "--epochs", strconv.Itoa(b.smallEpochs), "--insertions", strconv.Itoa(smallInserted),
		"--directory-size", strconv.Itoa(smallDirectory))
	if err != nil {
		return "", err
	}
	b.small = folder
	// What the simulation left to be written must not be written while others are measured.
	return folder, syncDisk(ctx)
}

// newStore makes a folder, and in it that of an audit store. They are removed only in the end: a
// file system is slow to create files right after it removed thousands.
func (b *bench) newStore() (folder, store string, err error) {
	if folder, err = os.MkdirTemp(b.dir, "run-"); err != nil {
		return "", "", err
	}
	store = filepath.Join(folder, "audit")
	return folder, store, os.Mkdir(store, 0o755)
}

// endToEnd is one audit of many small epochs.
type endToEnd struct {
	epochs int
	wall   time.Duration
	cpu    time.Duration // of all processes
	// byRole is the usage of the processes of each role, for CPU time together.
	byRole map[string]usage
}

func (e endToEnd) rate() float64 { return float64(e.epochs) / e.wall.Seconds() }

// measureSmall audits the log of small epochs in one process, and with a Redis, two workers and two
// schedulers.
func measureSmall(ctx context.Context, b *bench) (string, error) {
	log, err := b.smallLog(ctx)
	if err != nil {
		return "", err
	}
	ways := []func(context.Context) (endToEnd, error){
		func(ctx context.Context) (endToEnd, error) { return b.runRange(ctx, log) },
	}
	note := ""
	if err := tryRedis(); err != nil {
		note = fmt.Sprintf("Not measured with Redis: %s.\n", err)
	} else {
		ways = append(ways, func(ctx context.Context) (endToEnd, error) { return b.runFleet(ctx, log) })
	}
	all, err := inTurns(ctx, fmt.Sprintf("%d small epochs", b.smallEpochs), b.longRuns, ways...)
	if err != nil {
		return "", err
	}
	var results []endToEnd
	for _, runs := range all {
		results = append(results, middle(runs, endToEnd.rate))
	}
	return smallTable(results, b.longRuns, note), nil
}

// runRange audits with `ktaudit run`.
func (b *bench) runRange(ctx context.Context, log string) (endToEnd, error) {
	_, store, err := b.newStore()
	if err != nil {
		return endToEnd{}, err
	}
	used, err := process(ctx, nil, b.ktaudit, "run", "--namespace", namespace, "--log-directory", log, "--audit-store", store,
		"--from", "1", "--to", strconv.Itoa(b.smallEpochs))
	return endToEnd{epochs: b.smallEpochs, wall: used.wall, cpu: used.cpu, byRole: map[string]usage{"run": used}}, err
}

// runFleet audits with two workers, two schedulers and a Redis, from their start to the last
// verdict.
func (b *bench) runFleet(ctx context.Context, log string) (result endToEnd, err error) {
	redis, err := startRedis()
	if err != nil {
		return result, err
	}
	defer redis.Close()
	folder, store, err := b.newStore()
	if err != nil {
		return result, err
	}
	config := filepath.Join(folder, "ktaudit.yaml")
	text := fmt.Sprintf(`
redis: %s
audit_store: %s
namespaces:
  - namespace: %s
    log_directory: %s
    last: %d
    poll: 1s
    backfill: {from: 1, to: %d, window: 10000}
`, redis.URL(), store, namespace, log, b.smallEpochs, b.smallEpochs)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return result, err
	}
	f := newFleet(folder)
	defer f.kill()
	start := time.Now()
	for _, role := range []string{"scheduler", "worker", "scheduler", "worker"} {
		if err := f.start(ctx, role, -1, b.ktaudit, role, "--config", config); err != nil {
			return result, err
		}
	}
	_, _, end, err := f.await(ctx, store, b.smallEpochs)
	if err != nil {
		return result, err
	}
	spent, err := redis.spent(ctx)
	if err != nil {
		return result, err
	}
	result = endToEnd{epochs: b.smallEpochs, wall: end.Sub(start)}
	if result.byRole, err = f.stop(); err != nil {
		return result, err
	}
	result.byRole["redis"] = usage{cpu: spent.cpu}
	for _, used := range result.byRole {
		result.cpu += used.cpu
	}
	return result, nil
}

func smallTable(results []endToEnd, runs int, note string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s epochs of %d insertions, 21 kB each, log and audit store on local disk, from the start of the processes to the last verdict, "+
		"with nothing killed; %s, in turns. CPU is of all processes; memory is the most that one of them had.\n\n",
		count(results[0].epochs), smallInserted, medianOf(runs))
	head(&b, "", ">epochs/s", ">CPU per epoch", ">workers", ">schedulers", ">Redis", ">peak memory, a worker", ">a scheduler")
	for _, r := range results {
		cpu := func(role string) string { return duration(per(r.byRole[role].cpu, r.epochs)) }
		if one, ok := r.byRole["run"]; ok {
			row(&b, "`ktaudit run`, one process", perSecond(r.rate()), duration(per(r.cpu, r.epochs)), "", "", "", one.memoryText(), "")
			continue
		}
		row(&b, "two workers, two schedulers, Redis", perSecond(r.rate()), duration(per(r.cpu, r.epochs)), cpu("worker"), cpu("scheduler"), cpu("redis"),
			r.byRole["worker"].memoryText(), r.byRole["scheduler"].memoryText())
	}
	if note != "" {
		b.WriteString("\n" + note)
	}
	return b.String()
}
