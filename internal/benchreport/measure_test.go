package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/lanes"
)

func TestMediansAreOfEachFigure(t *testing.T) {
	t.Parallel()
	got := medians([]usage{
		{wall: 3, cpu: 10, memory: 200},
		{wall: 1, cpu: 30, memory: 100, memoryAtMost: true},
		{wall: 2, cpu: 20, memory: 300},
	})
	if want := (usage{wall: 2, cpu: 20, memory: 200}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestInTurnsAlternates(t *testing.T) {
	t.Parallel()
	var order []string
	as := func(name string) func(context.Context) (int, error) {
		return func(context.Context) (int, error) {
			order = append(order, name)
			return len(order), nil
		}
	}
	got, err := inTurns(t.Context(), "", 2, as("a"), as("b"))
	if err != nil || !reflect.DeepEqual(got, [][]int{{1, 3}, {2, 4}}) || strings.Join(order, "") != "abab" {
		t.Errorf("results %v in the order %v, %v; want those of a and of b, in turns", got, order, err)
	}
	wrong := errors.New("wrong")
	if _, err := inTurns(t.Context(), "", 2, as("a"), func(context.Context) (int, error) { return 0, wrong }); !errors.Is(err, wrong) {
		t.Errorf("error %v, want that of a measurement", err)
	}
}

func TestProcessCountsWhatTheChildTook(t *testing.T) {
	t.Parallel()
	used, err := process(t.Context(), nil, "sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")
	if err != nil {
		t.Fatal(err)
	}
	if used.cpu <= 0 || used.wall < used.cpu/2 || used.memory <= 0 {
		t.Errorf("a busy shell took %+v", used)
	}
	// The shell is far smaller than this process, which is what Linux charges it with.
	if !used.memoryAtMost {
		t.Errorf("the memory of a small child, %d bytes, is not marked as a bound", used.memory)
	}
}

func TestProcessThatFailsIsNoMeasurement(t *testing.T) {
	t.Parallel()
	_, err := process(t.Context(), []string{"WORD=rejected"}, "sh", "-c", "echo $WORD; exit 1")
	if err == nil || !strings.Contains(err.Error(), "rejected") {
		t.Errorf("error %v, want one that shows the output", err)
	}
}

// Settings in the environment of whoever measures must not change what is measured.
func TestCommandsHaveACleanEnvironment(t *testing.T) {
	t.Setenv("GOGC", "400")
	t.Setenv("KTAUDIT_CONFIG", "mine.yaml")
	t.Setenv("OTHER", "stays")
	env := strings.Join(command(t.Context(), []string{"KTAUDIT_HASH=generic"}, "true").Env, "\n") + "\n"
	for variable, want := range map[string]bool{"GOGC=400\n": false, "KTAUDIT_CONFIG=": false, "OTHER=stays\n": true, "KTAUDIT_HASH=generic\n": true} {
		if got := strings.Contains(env, variable); got != want {
			t.Errorf("%q in the environment: %v, want %v", variable, got, want)
		}
	}
}

func TestContendersBeginWithAkdAndTheProgramAsItComes(t *testing.T) {
	t.Parallel()
	list := contenders(settings{ktaudit: "k", oracle: "o"})
	if len(list) != 1+len(lanes.Paths()) {
		t.Fatalf("%d contenders for %d hash paths", len(list), len(lanes.Paths()))
	}
	if list[0].path != "" || list[1].path != lanes.Path() || list[1].env != nil {
		t.Errorf("first %+v, second %+v", list[0], list[1])
	}
	for _, c := range list[2:] {
		if len(c.env) != 1 || c.env[0] != lanes.Environment+"="+c.path {
			t.Errorf("%s runs with %q", c.label, c.env)
		}
	}
}

func TestFloorsAreMeasuredAndThePathIsLeftAsItWas(t *testing.T) {
	before := lanes.Path()
	floors, err := measureFloors(5 * ms)
	if err != nil {
		t.Fatal(err)
	}
	if len(floors) != len(lanes.Paths()) || lanes.Path() != before {
		t.Errorf("%d floors of %d paths; the path was %s and is %s", len(floors), len(lanes.Paths()), before, lanes.Path())
	}
	for _, f := range floors {
		if f.rate < 1e3 || runtime.GOOS == "linux" && f.ofCore < 1e3 {
			t.Errorf("%s hashes %.0f messages a second, %.0f in one of CPU time", f.path, f.rate, f.ofCore)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	programs := []string{"-ktaudit", "k", "-oracle", "o"}
	for _, args := range [][]string{
		{}, {"-ktaudit", "k"}, {"-ktaudit", "k", "-rows", "start,inside"}, {"-oracle", "o"},
		append(programs, "-sizes", "20,many"), append(programs, "-sizes", "0"), append(programs, "-runs", "0"), append(programs, "-long-runs", "0"),
		append(programs, "extra"), append(programs, "-rows", "scale,nothing"), append(programs, "-rows", ""),
	} {
		if _, err := parse(args); err == nil {
			t.Errorf("parse(%q) succeeded", args)
		}
	}
	for _, test := range []struct {
		args []string
		want func(settings) bool
	}{
		{nil, func(s settings) bool {
			return reflect.DeepEqual(s.volume, full) && len(s.rows) == len(parts()) && s.directory == 1<<32
		}},
		{[]string{"-sizes", "20,300", "-runs", "7"}, func(s settings) bool {
			return reflect.DeepEqual(s.sizes, []int{20, 300}) && s.runs == 7 && s.longRuns == 3
		}},
		{[]string{"-short"}, func(s settings) bool { return reflect.DeepEqual(s.volume, short) && len(s.rows) == len(parts()) }},
		{[]string{"-short", "-runs", "2"}, func(s settings) bool { return s.runs == 2 && s.smallEpochs == short.smallEpochs }},
		{[]string{"-rows", "kernel,start"}, func(s settings) bool { return reflect.DeepEqual(s.rows, []string{"kernel", "start"}) }},
	} {
		if s, err := parse(append(programs, test.args...)); err != nil || !test.want(s) {
			t.Errorf("parse(%q) gave %+v, %v", test.args, s, err)
		}
	}
}

func TestParseWantsNoOracleWhereItIsNotMeasured(t *testing.T) {
	t.Parallel()
	if _, err := parse([]string{"-ktaudit", "k", "-rows", "start,scale"}); err != nil {
		t.Error(err)
	}
}

func TestOracleMean(t *testing.T) {
	t.Parallel()
	if got, err := oracleMean("0.13 accept 1 1/a/b 3.000\n0.13 accept 1 1/a/b 5.000\n"); err != nil || got != 4*ms {
		t.Errorf("mean %v, %v, want 4ms", got, err)
	}
	for _, out := range []string{"", "0.13 accept 1 1/a/b\n", "0.13 reject 1 1/a/b 3.000 for a reason\n", "0.13 accept 1 1/a/b soon\n"} {
		if got, err := oracleMean(out); err == nil {
			t.Errorf("mean %v of %q, want an error", got, out)
		}
	}
}

func TestRepeatInsideRefusesWhatItCannotVerify(t *testing.T) {
	t.Parallel()
	digest := strings.Repeat("ab", 32)
	empty := filepath.Join(t.TempDir(), "7", digest, digest)
	if err := os.MkdirAll(filepath.Dir(empty), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "wants FILE TIMES"},
		{[]string{empty, "0"}, "no number of times"},
		{[]string{"x", "1"}, "want {epoch}/"},
		{[]string{empty, "1"}, "epoch 7 was rejected"},
	} {
		var out strings.Builder
		if err := repeatInside(t.Context(), test.args, &out); err == nil || !strings.Contains(err.Error(), test.want) || out.Len() > 0 {
			t.Errorf("%q: error %v and %q, want one with %q and nothing", test.args, err, &out, test.want)
		}
	}
}

func TestParseInfo(t *testing.T) {
	t.Parallel()
	const stats = "# Stats\r\ntotal_commands_processed:42488\r\ntotal_reads_processed:6231\r\n# CPU\r\nused_cpu_sys:1.5\r\nused_cpu_user:2.5\r\n"
	for _, test := range []struct {
		name, text string
		want       redisSpent
	}{
		{"of 7", stats + "used_cpu_sys_main_thread:1.25\r\nused_cpu_user_main_thread:2.25\r\n", redisSpent{3500 * ms, 42488, 6231}},
		{"without threads", stats, redisSpent{4 * time.Second, 42488, 6231}},
	} {
		if got, err := parseInfo(test.text); err != nil || got != test.want {
			t.Errorf("%s: %+v, %v, want %+v", test.name, got, err, test.want)
		}
	}
	for _, text := range []string{"", "redis_version:7.0.15\r\n", strings.TrimPrefix(stats, "# Stats\r\ntotal_commands_processed:42488\r\n")} {
		if got, err := parseInfo(text); err == nil {
			t.Errorf("%q is %+v, want an error", text, got)
		}
	}
}

// The epochs 1 to 2100 are in three shards of which the first has no epoch 0.
func TestVerdictsAreCounted(t *testing.T) {
	t.Parallel()
	v := verdictCount{folder: t.TempDir(), last: 2100, full: map[int]bool{}}
	write := func(from, to int) {
		for epoch := from; epoch <= to; epoch++ {
			shard := filepath.Join(v.folder, fmt.Sprintf("%09d", epoch/1000))
			if err := os.MkdirAll(filepath.Join(shard, ".tmp"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(shard, fmt.Sprintf("%012d.json", epoch)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := 0
	for _, step := range [][2]int{{0, -1}, {1, 1}, {2, 999}, {2000, 2100}, {1500, 1999}, {1000, 1499}} {
		write(step[0], step[1])
		want += step[1] - step[0] + 1
		if got, err := v.look(); err != nil || got != want {
			t.Fatalf("after %v: %d verdicts, %v, want %d", step, got, err, want)
		}
	}
	if want != v.last || !v.full[0] || !v.full[1] || !v.full[2] {
		t.Errorf("%d of %d epochs, full shards %v", want, v.last, v.full)
	}
}

// A process that ends before it was told to is an error that shows what it said.
func TestFleetMemberThatEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := newFleet(dir)
	defer f.kill()
	if err := f.start(t.Context(), "worker", -1, "sh", "-c", "echo cannot work; exit 3"); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := f.await(t.Context(), dir, 1); err == nil || !strings.Contains(err.Error(), "exit status 3: cannot work") {
		t.Errorf("error %v, want the status and the output", err)
	}
	if _, err := f.stop(); err == nil {
		t.Error("a process that ended with status 3 is no error when it is stopped")
	}
}

func TestFleetSumsRolesAndStops(t *testing.T) {
	t.Parallel()
	f := newFleet(t.TempDir())
	defer f.kill()
	// Each says by one pipe that it has worked, and waits for the signal in a read from the other.
	const script = `trap 'exit 0' TERM; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exec 3<>"$1"; echo ready >"$0"; read x <&3`
	dir := t.TempDir()
	never := filepath.Join(dir, "never")
	if err := exec.Command("mkfifo", never).Run(); err != nil {
		t.Fatal(err)
	}
	ready := filepath.Join(dir, "ready")
	if err := exec.Command("mkfifo", ready).Run(); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"worker", "scheduler", "worker"} {
		if err := f.start(t.Context(), role, 0, "sh", "-c", script, ready, never); err != nil {
			t.Fatal(err)
		}
		if said, err := os.ReadFile(ready); err != nil || string(said) != "ready\n" {
			t.Fatalf("%q, %v", said, err)
		}
	}
	used, err := f.stop()
	if err != nil || len(used) != 2 || used["worker"].cpu <= 0 || used["scheduler"].memory <= 0 {
		t.Errorf("used %+v, %v, want the two roles", used, err)
	}
}

func TestBusyCoresAreCounted(t *testing.T) {
	var stop atomic.Bool
	defer stop.Store(true)
	go func() {
		for !stop.Load() {
		}
	}()
	if got := coresBusy(200 * ms); got < 0.3 || got > float64(runtime.NumCPU()) {
		t.Errorf("%.2f cores are busy while one of %d spins", got, runtime.NumCPU())
	}
}
