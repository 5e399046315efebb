package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/lanes"
	"github.com/ktaudit/ktaudit/validator"
)

// smallBatch is up to what size a batch is measured in this process too. For larger ones the start
// of a process does not matter.
const smallBatch = 4 << 20

// measureInside adds the time of a verification without the start of a process, for small batches,
// and counts the elements.
func measureInside(ctx context.Context, s settings, z *size) error {
	data, err := os.ReadFile(z.file)
	if err != nil {
		return err
	}
	result, _, err := verifyInside(ctx, z.name, data)
	if err != nil {
		return err
	}
	z.inserted, z.unchanged = result.Inserted, result.Unchanged
	if z.bytes > smallBatch {
		return nil
	}
	for i := range z.rows {
		r := &z.rows[i]
		if r.path == "" {
			r.inside, err = runOracle(ctx, s.oracle, z.file, repetitions(z.bytes))
		} else {
			r.inside, err = repeatInside(ctx, r.path, z.name, data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// repetitions is how often a small batch is verified in process.
func repetitions(size int64) int { return int(max(5, min(200, smallBatch/size))) }

// runOracle lets akd verify one file many times in a process and returns the median of the times
// that it reports, which leave out reading and decoding.
func runOracle(ctx context.Context, oracle, file string, times int) (time.Duration, error) {
	args := append([]string{"--timing"}, slices.Repeat([]string{file}, times)...)
	out, err := exec.CommandContext(ctx, oracle, args...).Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", oracle, err)
	}
	var taken []time.Duration
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) != 5 {
			return 0, fmt.Errorf("%s said %q, want five fields", oracle, line)
		}
		ms, err := strconv.ParseFloat(fields[4], 64)
		if err != nil {
			return 0, err
		}
		taken = append(taken, time.Duration(ms*float64(time.Millisecond)))
	}
	slices.Sort(taken)
	return taken[len(taken)/2], nil
}

// repeatInside verifies data many times on a hash path and returns the median, decoding included.
func repeatInside(ctx context.Context, path string, name validator.Name, data []byte) (time.Duration, error) {
	defer lanes.Use(lanes.Path())
	if err := lanes.Use(path); err != nil {
		return 0, err
	}
	var taken []time.Duration
	for range repetitions(int64(len(data))) {
		_, took, err := verifyInside(ctx, name, data)
		if err != nil {
			return 0, err
		}
		taken = append(taken, took)
	}
	slices.Sort(taken)
	return taken[len(taken)/2], nil
}

func verifyInside(ctx context.Context, name validator.Name, data []byte) (validator.Result, time.Duration, error) {
	start := time.Now()
	result, err := validator.Verify(ctx, name, bytes.NewReader(data), validator.WhatsAppV1(), validator.Options{})
	took := time.Since(start)
	if err == nil && result.Outcome != validator.Verified {
		err = fmt.Errorf("epoch %d was rejected: %s: %s", name.Epoch, result.Reason, result.Detail)
	}
	return result, took, err
}

// floor is the highest hash rate of a hash path.
type floor struct {
	path string
	rate float64 // hashes a second, all cores together
}

// hashes is how many one-block hashes an epoch requires: each element has a label, a value and a
// share of the interior nodes of one or both trees. See docs/design.md.
func hashes(inserted, unchanged int) float64 { return 7*float64(unchanged) + 6*float64(inserted) }

// time is how long the kernel alone needs for the hashes of an epoch.
func (f floor) time(z size) time.Duration {
	return time.Duration(hashes(z.inserted, z.unchanged) / f.rate * float64(time.Second))
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
		best := 0.0
		for range 5 {
			best = max(best, hashRate(total/5))
		}
		floors = append(floors, floor{path: path, rate: best})
	}
	return floors, nil
}

// hashRate hashes on every core for a time and returns hashes a second.
func hashRate(duration time.Duration) float64 {
	const batch = 256
	var group sync.WaitGroup
	counts := make([]int, runtime.GOMAXPROCS(0))
	start := time.Now()
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
	took := time.Since(start).Seconds()
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total) / took
}
