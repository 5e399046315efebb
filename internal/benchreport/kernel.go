package main

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/lanes"
)

// floor is the least that a hash takes on a hash path.
type floor struct {
	path   string
	rate   float64 // hashes a second, all cores together
	ofCore float64 // hashes in a second of CPU time, while all cores hash; 0 if it isn't known
}

// hashes is how many one-block hashes an epoch requires: each element has a label, a value and a
// share of the interior nodes of one or both trees. See docs/design.md.
func hashes(in input) float64 { return 7*float64(in.unchanged) + 6*float64(in.inserted) }

// wall is how long the kernel alone needs for the hashes of an epoch.
func (f floor) wall(in input) time.Duration {
	return time.Duration(hashes(in) / f.rate * float64(time.Second))
}

// cpu is the CPU time of that, or 0.
func (f floor) cpu(in input) time.Duration {
	if f.ofCore == 0 {
		return 0
	}
	return time.Duration(hashes(in) / f.ofCore * float64(time.Second))
}

func floorOf(floors []floor, path string) (floor, bool) {
	for _, f := range floors {
		if f.path == path {
			return f, true
		}
	}
	return floor{}, false
}

// needFloors measures the kernel unless that was done.
func (b *bench) needFloors() (err error) {
	if b.floors == nil {
		b.floors, err = measureFloors(b.floorTime)
	}
	return err
}

// measureFloors lets the kernel of each path hash from the first-level cache on all cores, and
// takes the best of five measurements, which together last for the given time.
func measureFloors(total time.Duration) ([]floor, error) {
	defer lanes.Use(lanes.Path())
	var floors []floor
	for _, path := range lanes.Paths() {
		if err := lanes.Use(path); err != nil {
			return nil, err
		}
		progress("kernel on %s", path)
		f := floor{path: path}
		for range 5 {
			rate, ofCore := hashRate(total / 5)
			f.rate, f.ofCore = max(f.rate, rate), max(f.ofCore, ofCore)
		}
		floors = append(floors, f)
	}
	return floors, nil
}

// hashRate hashes on every core for a time and returns hashes a second, and in a second of CPU
// time.
func hashRate(duration time.Duration) (rate, ofCore float64) {
	const batch = 256
	var group sync.WaitGroup
	counts := make([]int, runtime.GOMAXPROCS(0))
	start, startCPU := time.Now(), ownCPU()
	for i := range counts {
		group.Go(func() {
			src, dst := make([]byte, batch*lanes.Block), make([]byte, batch*lanes.Size)
			n := 0
			for time.Since(start) < duration {
				for range 16 {
					lanes.HashStrided(dst, lanes.Size, src, lanes.Block, batch, lanes.Block)
					n += batch
				}
			}
			counts[i] = n
		})
	}
	group.Wait()
	took, cpu := time.Since(start).Seconds(), (ownCPU() - startCPU).Seconds()
	total := 0
	for _, n := range counts {
		total += n
	}
	if cpu > 0 {
		ofCore = float64(total) / cpu
	}
	return float64(total) / took, ofCore
}

func measureKernel(_ context.Context, b *bench) (string, error) {
	if err := b.needFloors(); err != nil {
		return "", err
	}
	return kernelTable(b.floors), nil
}

func kernelTable(floors []floor) string {
	var b strings.Builder
	b.WriteString("One-block messages in the first-level cache, all cores; best of five:\n\n")
	head(&b, "hash path", ">hashes a second", ">in a second of CPU time")
	for _, f := range floors {
		row(&b, f.path, fmt.Sprintf("%.0f million", f.rate/1e6), fmt.Sprintf("%.0f million", f.ofCore/1e6))
	}
	return b.String()
}
