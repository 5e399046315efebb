package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/redis/go-redis/v9"
)

// backfillRecord measures a backfill: what each tenth of it cost, and the most that Redis and the
// processes held.
type backfillRecord struct {
	t       *testing.T
	redis   *redis.Client
	begun   time.Time
	sampled time.Time // when Redis was asked last

	marks []backfillMark // at the beginning, and at the end of each tenth
	kills []backfillKill
	spent map[string]time.Duration // CPU time of processes that have ended, by role
	now   map[string]time.Duration // of those that run

	redisBase, redisMemory int64 // bytes when it was empty, and at most
	queued                 int64 // at most
	resident               map[string]int64
}

// backfillMark is what had been spent when so many verdicts were there.
type backfillMark struct {
	verdicts uint64
	at       time.Duration
	cpu      map[string]time.Duration
}

// backfillKill is a moment at which everything was killed, and when the first verdict came after
// it.
type backfillKill struct {
	verdicts      uint64
	at, recovered time.Duration
}

var backfillRoles = []string{"worker", "scheduler", "redis"}

func newBackfillRecord(t *testing.T, redisAddress string) *backfillRecord {
	r := &backfillRecord{
		t: t, redis: redis.NewClient(&redis.Options{Addr: redisAddress, MaxRetries: -1}),
		spent: map[string]time.Duration{}, now: map[string]time.Duration{}, resident: map[string]int64{},
	}
	t.Cleanup(func() { _ = r.redis.Close() })
	return r
}

func (r *backfillRecord) begin() {
	r.begun = time.Now()
	r.askRedis()
	r.redisBase = r.redisMemory
	r.mark(0)
}

func (r *backfillRecord) elapsed() time.Duration { return time.Since(r.begun) }

// sample is called again and again while everything runs.
func (r *backfillRecord) sample(verdicts uint64, running []*process) {
	if len(r.kills) > 0 {
		if k := &r.kills[len(r.kills)-1]; k.recovered == 0 && verdicts > k.verdicts {
			k.recovered = r.elapsed()
		}
	}
	for _, role := range []string{"worker", "scheduler"} {
		r.now[role] = 0
	}
	for _, p := range running {
		cpu, resident := processUse(p.cmd.Process.Pid)
		r.now[p.role()] += cpu
		r.resident[p.role()] = max(r.resident[p.role()], resident)
	}
	if time.Since(r.sampled) > 200*time.Millisecond || verdicts >= *backfillEpochs {
		r.askRedis()
	}
	for verdicts >= r.tenth(len(r.marks)) && len(r.marks) <= 10 {
		r.mark(verdicts)
	}
}

func (r *backfillRecord) tenth(i int) uint64 { return *backfillEpochs * uint64(i) / 10 }

func (r *backfillRecord) mark(verdicts uint64) {
	m := backfillMark{verdicts, r.elapsed(), map[string]time.Duration{}}
	for _, role := range backfillRoles {
		m.cpu[role] = r.spent[role] + r.now[role]
	}
	r.marks = append(r.marks, m)
}

// killing is called before everything is killed.
func (r *backfillRecord) killing() {
	r.askRedis()
	r.spent["redis"] += r.now["redis"]
	r.now["redis"] = 0
}

// killed is called when everything is dead.
func (r *backfillRecord) killed(verdicts uint64) {
	r.kills = append(r.kills, backfillKill{verdicts: verdicts, at: r.elapsed()})
}

// ended is called when a process has ended.
func (r *backfillRecord) ended(p *process) {
	r.spent[p.role()] += p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	r.now[p.role()] = 0
}

// askRedis asks for its memory, its CPU time and the length of the queues.
func (r *backfillRecord) askRedis() {
	r.t.Helper()
	r.sampled = time.Now()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	info, err := r.redis.InfoMap(ctx, "memory", "cpu").Result()
	if err != nil {
		r.t.Fatal(err)
	}
	memory, err := strconv.ParseInt(info["Memory"]["used_memory_peak"], 10, 64)
	if err != nil {
		r.t.Fatal(err)
	}
	r.redisMemory = max(r.redisMemory, memory)
	r.now["redis"] = 0
	for _, field := range []string{"used_cpu_sys", "used_cpu_user"} {
		seconds, err := strconv.ParseFloat(info["CPU"][field], 64)
		if err != nil {
			r.t.Fatal(err)
		}
		r.now["redis"] += time.Duration(seconds * float64(time.Second))
	}
	queued := int64(0)
	for _, class := range []queue.Class{queue.Backfill, queue.Fresh} {
		key := "asynq:{" + queue.Name(chaosNamespace, class) + "}:"
		pending, err := r.redis.LLen(ctx, key+"pending").Result()
		if err != nil {
			r.t.Fatal(err)
		}
		active, err := r.redis.LLen(ctx, key+"active").Result()
		if err != nil {
			r.t.Fatal(err)
		}
		queued += pending + active
	}
	r.queued = max(r.queued, queued)
}

// most is what the queues may hold: a scheduler that puts a window on the queue does not see what
// another one is adding.
func (r *backfillRecord) most() int64 {
	return int64(backfillReplicas**backfillWindow + min(backfillRecent, *backfillEpochs))
}

// check wants the queue and Redis's memory to be bounded by the window, and a long backfill to be
// as cheap at its end as it was at its beginning.
func (r *backfillRecord) check() {
	r.t.Helper()
	const perTask, connections = 1 << 10, 8 << 20 // bytes
	if r.queued > r.most() {
		r.t.Errorf("up to %d epochs were on the queue, want at most %d", r.queued, r.most())
	}
	if limit := r.redisBase + r.most()*perTask + connections; r.redisMemory > limit {
		r.t.Errorf("redis took up to %d bytes, want at most %d", r.redisMemory, limit)
	}
	if *backfillEpochs < 50_000 {
		return // in which the starts of processes count too much
	}
	var costs []time.Duration
	for i := range 10 {
		costs = append(costs, r.cost(i, backfillRoles...))
	}
	first, last := slices.Sorted(slices.Values(costs[:3]))[1], slices.Sorted(slices.Values(costs[7:]))[1]
	if last > first*3/2 {
		r.t.Errorf("an epoch took %s of CPU time in the beginning and %s at the end", first, last)
	}
}

// cost is the CPU time of an epoch in a tenth.
func (r *backfillRecord) cost(tenth int, roles ...string) time.Duration {
	from, to := r.marks[tenth], r.marks[tenth+1]
	sum := time.Duration(0)
	for _, role := range roles {
		sum += to.cpu[role] - from.cpu[role]
	}
	return sum / time.Duration(max(1, to.verdicts-from.verdicts))
}

// print tells the test's log, as tables that can go into a document.
func (r *backfillRecord) print() {
	r.t.Helper()
	var b strings.Builder
	end := r.marks[len(r.marks)-1]
	fmt.Fprintf(&b, "%d epochs in %.1f s, %.0f a second, window %d, %d schedulers and %d workers, killed %d times\n\n",
		end.verdicts, end.at.Seconds(), float64(end.verdicts)/end.at.Seconds(), *backfillWindow, backfillReplicas, backfillReplicas, len(r.kills))
	b.WriteString("| epochs | seconds | epochs/s | CPU an epoch | workers | schedulers | Redis |\n|--:|--:|--:|--:|--:|--:|--:|\n")
	for i := range r.marks[1:] {
		from, to := r.marks[i], r.marks[i+1]
		seconds := (to.at - from.at).Seconds()
		fmt.Fprintf(&b, "| %d | %.1f | %.0f | %.2f ms |", to.verdicts, seconds, float64(to.verdicts-from.verdicts)/seconds, milliseconds(r.cost(i, backfillRoles...)))
		for _, role := range backfillRoles {
			fmt.Fprintf(&b, " %.2f ms |", milliseconds(r.cost(i, role)))
		}
		b.WriteByte('\n')
	}
	for _, k := range r.kills {
		fmt.Fprintf(&b, "\nkilled everything at %.1f s with %d verdicts; the next came after %.1f s", k.at.Seconds(), k.verdicts, (k.recovered - k.at).Seconds())
	}
	fmt.Fprintf(&b, "\nat most %d epochs on the queues; Redis %.1f MB, %.1f when empty; resident: worker %.0f MB, scheduler %.0f MB",
		r.queued, megabytes(r.redisMemory), megabytes(r.redisBase), megabytes(r.resident["worker"]), megabytes(r.resident["scheduler"]))
	r.t.Log(b.String())
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func megabytes(n int64) float64 { return float64(n) / 1e6 }

// processUse returns a process's CPU time so far and its resident memory, as Linux shows them; zero
// elsewhere.
func processUse(pid int) (cpu time.Duration, resident int64) {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every architecture that Go knows
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name before may hold anything but this
	fields := strings.Fields(rest)
	if len(fields) < 22 {
		return 0, 0
	}
	number := func(i int) int64 { n, _ := strconv.ParseInt(fields[i], 10, 64); return n }
	return time.Duration(number(11)+number(12)) * tick, number(21) * int64(os.Getpagesize())
}
