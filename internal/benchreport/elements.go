package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// measureStart gives what a process costs that does nothing.
func measureStart(ctx context.Context, b *bench) (string, error) {
	info, err := os.Stat(b.ktaudit)
	if err != nil {
		return "", err
	}
	runs := b.runs
	if runs > 1 {
		runs *= 5 // each takes an instant, so that what else runs shows
	}
	all, err := inTurns(ctx, "ktaudit version", runs, running(nil, b.ktaudit, "version"))
	if err != nil {
		return "", err
	}
	return startTable(medians(all[0]), info.Size(), runs), nil
}

func startTable(used usage, binary int64, runs int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "`ktaudit version`, %s, and the size of the program:\n\n", medianOf(runs))
	head(&b, ">wall", ">CPU", ">peak memory", ">program")
	row(&b, duration(used.wall), duration(used.cpu), used.memoryText(), size64(binary))
	return b.String()
}

// experimentalLabel is akd's example of a domain label.
const experimentalLabel = "experimental:ExampleLabel"

// comparison is an epoch in two configurations.
type comparison struct {
	input                  // in whatsapp_v1
	whatsApp, experimental usage
}

// measureExperimental compares the configurations, each on a log of its own with the same labels.
func measureExperimental(ctx context.Context, b *bench) (string, error) {
	var compared []comparison
	for _, inserted := range b.experimental {
		whatsApp, err := b.epoch(ctx, inserted)
		if err != nil {
			return "", err
		}
		other, err := b.simulate(ctx, inserted, "--configuration", experimentalLabel)
		if err != nil {
			return "", err
		}
		all, err := inTurns(ctx, fmt.Sprintf("%d insertions in two configurations", inserted), b.runs,
			running(nil, b.ktaudit, "verify", whatsApp.file),
			running(nil, b.ktaudit, "verify", "--configuration", experimentalLabel, other.file))
		if err != nil {
			return "", err
		}
		compared = append(compared, comparison{whatsApp, medians(all[0]), medians(all[1])})
	}
	return experimentalTable(compared, b.runs), nil
}

func experimentalTable(compared []comparison, runs int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "`ktaudit verify` of an epoch with the same labels in both configurations, in turns; %s.\n\n", medianOf(runs))
	head(&b, ">inserted", ">unchanged", "configuration", ">wall", ">CPU", ">peak memory", ">wall / `whatsapp_v1`'s", ">CPU / `whatsapp_v1`'s")
	for _, c := range compared {
		row(&b, count(c.inserted), count(c.unchanged), "`whatsapp_v1`", duration(c.whatsApp.wall), duration(c.whatsApp.cpu), c.whatsApp.memoryText(), "", "")
		row(&b, "", "", "`experimental`", duration(c.experimental.wall), duration(c.experimental.cpu), c.experimental.memoryText(),
			times(c.experimental.wall, c.whatsApp.wall), times(c.experimental.cpu, c.whatsApp.cpu))
	}
	return b.String()
}

// times says how many times b a is.
func times(a, b time.Duration) string {
	return fmt.Sprintf("%.2f ×", float64(a)/float64(max(1, b)))
}

// elementsAtOnce is about how many elements a process verifies, in one epoch or in many.
const elementsAtOnce = 16_000_000

// cost is an epoch and what it takes.
type cost struct {
	input
	usage
}

// measureElements gives what an element costs in epochs of very different sizes.
func measureElements(ctx context.Context, b *bench) (string, error) {
	var inputs []input
	var measurements []func(context.Context) (usage, error)
	for _, inserted := range b.elements {
		in, err := b.epoch(ctx, inserted)
		if err != nil {
			return "", err
		}
		times := 1
		if b.runs > 1 {
			times = max(2, elementsAtOnce/in.elements())
		}
		inputs = append(inputs, in)
		measurements = append(measurements, runInside(nil, in.file, times))
	}
	all, err := inTurns(ctx, "cost of an element", b.runs, measurements...)
	if err != nil {
		return "", err
	}
	var costs []cost
	for i, in := range inputs {
		costs = append(costs, cost{in, medians(all[i])})
	}
	return elementsTable(costs, b.runs), nil
}

// elementsTable compares each size with the one whose elements cost least.
func elementsTable(costs []cost, runs int) string {
	wall, cpu := time.Hour, time.Hour
	for _, c := range costs {
		wall, cpu = min(wall, per(c.wall, c.elements())), min(cpu, per(c.cpu, c.elements()))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "In process, from a file in the page cache, with Go's collector as it comes: each size in a process of its own that "+
		"verifies the same epoch many times; means, and of those %s. "+
		"The last two columns compare an element with one of the size whose elements cost least.\n\n", medianOf(runs))
	head(&b, ">inserted", ">elements", ">wall", ">CPU", ">wall per element", ">CPU per element", ">wall / least", ">CPU / least")
	for _, c := range costs {
		w, p := per(c.wall, c.elements()), per(c.cpu, c.elements())
		row(&b, count(c.inserted), count(c.elements()), duration(c.wall), duration(c.cpu), duration(w), duration(p), times(w, wall), times(p, cpu))
	}
	return b.String()
}
