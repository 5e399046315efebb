package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/farstore"
)

// farLine lies between the store and ktaudit: 20 MB/s for a connection, 1 Gbit/s for all.
var farLine = farstore.Line{Latency: 50 * time.Millisecond, Connection: 20e6, Total: 125e6}

const farSlots = 3

// fetched is an audit of large epochs from a store that is far away.
type fetched struct {
	usage
	epochs   int
	bytes    int64 // that came over the line
	requests int64 // for objects
	atOnce   int64 // of these at most
}

func (f fetched) share() float64 {
	return float64(f.bytes) / f.wall.Seconds() / float64(farLine.Total)
}

// measureFar says what share of a line `ktaudit run` keeps busy.
func measureFar(ctx context.Context, b *bench) (string, error) {
	progress("simulating %d epochs of %d insertions", b.farEpochs, b.farInserted)
	log := filepath.Join(b.dir, "far")
	made, err := b.simulateLog(ctx, log, "--epochs", strconv.Itoa(b.farEpochs), "--insertions", strconv.Itoa(b.farInserted),
		"--directory-size", strconv.FormatUint(b.directory, 10))
	if err != nil {
		return "", err
	}
	if err := syncDisk(ctx); err != nil {
		return "", err
	}
	all, err := inTurns(ctx, fmt.Sprintf("%d epochs from a far store", b.farEpochs), b.longRuns,
		func(ctx context.Context) (fetched, error) { return b.fetch(ctx, log) })
	if err != nil {
		return "", err
	}
	return farTable(middle(all[0], fetched.share), made.bytes, b.longRuns), nil
}

// fetch audits the log from its start to the end of the process.
func (b *bench) fetch(ctx context.Context, log string) (f fetched, err error) {
	server, err := farstore.Serve(ctx, log, farLine)
	if err != nil {
		return f, err
	}
	defer server.Close()
	_, store, err := b.newStore()
	if err != nil {
		return f, err
	}
	f.epochs = b.farEpochs
	f.usage, err = process(ctx, nil, b.ktaudit, "run", "--namespace", namespace, "--log-directory", server.BucketURL(), "--audit-store", store,
		"--concurrency", strconv.Itoa(farSlots), "--from", "1", "--to", strconv.Itoa(b.farEpochs))
	f.bytes = server.Sent()
	f.requests, f.atOnce = server.Requests()
	return f, err
}

func farTable(f fetched, bytes int64, runs int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "`ktaudit run --concurrency %d` over %d epochs of %s each in a store that is %d ms away and gives %s/s a connection, over a line of %s/s, "+
		"from its start to its end; %s. The store is on the same machine and takes part of its cores (`internal/farstore`).\n\n",
		farSlots, f.epochs, size64(bytes/int64(f.epochs)), farLine.Latency.Milliseconds(), size64(farLine.Connection), size64(farLine.Total), medianOf(runs))
	head(&b, ">line kept busy", ">came over it", ">of what is stored", ">wall", ">CPU", ">peak memory", ">requests for objects", ">at once")
	row(&b, percent(f.share(), 1), size64(int64(float64(f.bytes)/f.wall.Seconds()))+"/s", percent(f.bytes, bytes), duration(f.wall), duration(f.cpu),
		f.memoryText(), count(int(f.requests)), count(int(f.atOnce)))
	return b.String()
}
