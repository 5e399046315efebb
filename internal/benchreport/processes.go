package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/benchreport/plot"
	"github.com/ktaudit/ktaudit/internal/lanes"
)

// contender is a program to measure.
type contender struct {
	label string
	path  string // hash path of a ktaudit, empty for akd
	argv  []string
	env   []string
}

// usageRow is a contender's usage on one epoch.
type usageRow struct {
	contender
	usage
}

// size is everything measured on one epoch.
type size struct {
	input
	rows []usageRow
	// together is the usage of two processes of the second contender on the same epoch at once.
	together usage
}

// contenders are akd, ktaudit with its default hash path, and ktaudit with each other path of this
// machine.
func contenders(s settings) []contender {
	list := []contender{{label: "akd 0.13", argv: []string{s.oracle}}}
	own := lanes.Path()
	list = append(list, contender{label: "ktaudit (" + own + ")", path: own, argv: []string{s.ktaudit, "verify"}})
	for _, path := range lanes.Paths() {
		if path != own {
			list = append(list, contender{
				label: "ktaudit, " + path + " forced", path: path,
				argv: []string{s.ktaudit, "verify"}, env: []string{lanes.Environment + "=" + path},
			})
		}
	}
	return list
}

// measureProcesses lets all contenders verify the same epochs, and draws the plot.
func measureProcesses(ctx context.Context, b *bench) (string, error) {
	if err := b.needFloors(); err != nil {
		return "", err
	}
	var sizes []size
	for _, inserted := range b.sizes {
		in, err := b.epoch(ctx, inserted)
		if err != nil {
			return "", err
		}
		z, err := measureSize(ctx, b.settings, in)
		if err != nil {
			return "", err
		}
		sizes = append(sizes, z)
	}
	svg := plot.SVG("Time to verify an epoch, whole process", "elements of the proof (inserted and unchanged)", curves(sizes, b.floors))
	if err := os.WriteFile(b.plot, svg, 0o644); err != nil {
		return "", err
	}
	return processesTable(sizes, b.floors, b.runs, b.oracleBy) + togetherTable(sizes) +
		fmt.Sprintf("![Time of a verification against the size of an epoch](%s)\n", filepath.Base(b.plot)), nil
}

func measureSize(ctx context.Context, s settings, in input) (size, error) {
	list := contenders(s)
	var measurements []func(context.Context) (usage, error)
	for _, c := range list {
		measurements = append(measurements, running(c.env, append(slices.Clone(c.argv), in.file)...))
	}
	measurements = append(measurements, func(ctx context.Context) (usage, error) {
		return twoAtOnce(ctx, append(slices.Clone(list[1].argv), in.file)...)
	})
	all, err := inTurns(ctx, fmt.Sprintf("%d insertions", in.inserted), s.runs, measurements...)
	if err != nil {
		return size{}, err
	}
	z := size{input: in, together: medians(all[len(list)])}
	for i, c := range list {
		z.rows = append(z.rows, usageRow{contender: c, usage: medians(all[i])})
	}
	return z, nil
}

// twoAtOnce runs a program twice at the same time and returns when both are done, with the CPU time
// of both.
func twoAtOnce(ctx context.Context, argv ...string) (usage, error) {
	start := time.Now()
	var otherUsed usage
	other := make(chan error, 1)
	go func() {
		var err error
		otherUsed, err = process(ctx, nil, argv...)
		other <- err
	}()
	used, err := process(ctx, nil, argv...)
	if otherErr := <-other; err == nil {
		err = otherErr
	}
	return usage{wall: time.Since(start), cpu: used.cpu + otherUsed.cpu}, err
}

func processesTable(sizes []size, floors []floor, runs int, oracleBy string) string {
	var b strings.Builder
	if oracleBy != "" {
		oracleBy = ", built by " + oracleBy
	}
	fmt.Fprintf(&b, "`ktaudit verify FILE` and the oracle of akd 0.13.0 with its default features%s, on the same uncompressed file in the page cache, in turns; "+
		"%s. The floor is what the kernel alone takes, on all cores, for the hashes that the epoch cannot do without: its wall time, "+
		"and the CPU time of all cores.\n\n", oracleBy, medianOf(runs))
	head(&b, ">inserted", ">unchanged", ">proof", "program", ">wall", ">faster than akd", ">CPU", ">less than akd", ">peak memory", ">of akd's",
		">wall per element", ">CPU per element", ">floor, wall", ">of wall", ">floor, CPU", ">of CPU")
	for _, z := range sizes {
		akd := z.rows[0]
		first := []string{count(z.inserted), count(z.unchanged), size64(z.bytes)}
		for _, w := range z.rows {
			var faster, less, share, wall, ofWall, cpu, ofCPU string
			if w.path != "" {
				faster, less = ratio(akd.wall, w.wall), ratio(akd.cpu, w.cpu)
				if !akd.memoryAtMost {
					share = percent(w.memory, akd.memory)
				}
			}
			if f, ok := floorOf(floors, w.path); ok {
				wall, ofWall = duration(f.wall(z.input)), percent(f.wall(z.input), w.wall)
				cpu, ofCPU = duration(f.cpu(z.input)), percent(f.cpu(z.input), w.cpu)
			}
			row(&b, append(first, w.label, duration(w.wall), faster, duration(w.usage.cpu), less, w.memoryText(), share,
				duration(per(w.wall, z.elements())), duration(per(w.usage.cpu, z.elements())), wall, ofWall, cpu, ofCPU)...)
			first = []string{"", "", ""}
		}
	}
	return b.String() + "\n"
}

func togetherTable(sizes []size) string {
	var b strings.Builder
	b.WriteString("Two `ktaudit verify` of the same epoch at once, against two one after the other:\n\n")
	head(&b, ">inserted", ">two at once", ">CPU", ">one after the other", ">CPU", ">throughput at once")
	for _, z := range sizes {
		one := z.rows[1]
		row(&b, count(z.inserted), duration(z.together.wall), duration(z.together.cpu), duration(2*one.wall), duration(2*one.cpu),
			percent(2*one.wall, z.together.wall))
	}
	return b.String() + "\n"
}

// curves are the wall times of the contenders and the floor of ktaudit's own path.
func curves(sizes []size, floors []floor) []plot.Curve {
	var curves []plot.Curve
	for i := range sizes[0].rows {
		c := plot.Curve{Label: sizes[0].rows[i].label}
		for _, z := range sizes {
			c.Points = append(c.Points, plot.Point{X: float64(z.elements()), Y: z.rows[i].wall.Seconds()})
		}
		curves = append(curves, c)
	}
	if f, ok := floorOf(floors, sizes[0].rows[1].path); ok {
		c := plot.Curve{Label: "floor (" + f.path + ")", Dashed: true}
		for _, z := range sizes {
			c.Points = append(c.Points, plot.Point{X: float64(z.elements()), Y: f.wall(z.input).Seconds()})
		}
		curves = append(curves, c)
	}
	return curves
}
