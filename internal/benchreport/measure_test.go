package main

import (
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
	floors, err := measureFloors(5 * time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if len(floors) != len(lanes.Paths()) || lanes.Path() != before {
		t.Errorf("%d floors of %d paths; the path was %s and is %s", len(floors), len(lanes.Paths()), before, lanes.Path())
	}
	for _, f := range floors {
		if f.rate < 1e3 {
			t.Errorf("%s hashes %.0f messages a second", f.path, f.rate)
		}
	}
}

func TestParseRefusesNonsense(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{},
		{"-ktaudit", "k"},
		{"-ktaudit", "k", "-oracle", "o", "-sizes", "20,many"},
		{"-ktaudit", "k", "-oracle", "o", "-sizes", "0"},
		{"-ktaudit", "k", "-oracle", "o", "-runs", "0"},
		{"-ktaudit", "k", "-oracle", "o", "extra"},
	} {
		if _, err := parse(args); err == nil {
			t.Errorf("parse(%q) succeeded", args)
		}
	}
	s, err := parse([]string{"-ktaudit", "k", "-oracle", "o", "-sizes", "20,300"})
	if err != nil || len(s.sizes) != 2 || s.runs != 5 || s.directory != 1<<32 {
		t.Errorf("parse gave %+v, %v", s, err)
	}
}

func TestBusyCoresAreCounted(t *testing.T) {
	var stop atomic.Bool
	defer stop.Store(true)
	go func() {
		for !stop.Load() {
		}
	}()
	if got := coresBusy(200 * time.Millisecond); got < 0.3 || got > float64(runtime.NumCPU()) {
		t.Errorf("%.2f cores are busy while one of %d spins", got, runtime.NumCPU())
	}
}
