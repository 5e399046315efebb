package fetcher

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
)

// gate is a reader that counts what is taken from it.
type gate struct {
	r     io.Reader
	taken chan int
}

func (g *gate) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	g.taken <- n
	return n, err
}

// While a caller is busy with what it has, the next bytes are read, but not more of them than the
// buffers hold.
func TestReadAhead(t *testing.T) {
	t.Parallel()
	content := random(4<<20, 12)
	g := &gate{r: bytes.NewReader(content), taken: make(chan int, len(content))}
	batch, err := Decode(t.Context(), g, -1, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Close()
	// Nothing is read from the batch, and still its buffers fill.
	total := 0
	for total < buffersAhead*bufferSize {
		select {
		case n := <-g.taken:
			total += n
		case <-time.After(10 * time.Second):
			t.Fatalf("only %d bytes are read ahead", total)
		}
	}
	// Whatever is taken beyond them until the end of the test is in the 64 KiB buffer before the
	// decoder.
	if _, err := batch.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = batch.Close()
	close(g.taken)
	for n := range g.taken {
		total += n
	}
	if most := buffersAhead*bufferSize + storedBuffer; total > most {
		t.Errorf("%d bytes were read ahead, want at most %d", total, most)
	}
}

// However a batch is left, its goroutine ends. Not in parallel, to count them.
func TestNoGoroutineStays(t *testing.T) { eachWay(t, testNoGoroutineStays) }

func testNoGoroutineStays(t *testing.T, way func(Options) Options) {
	content := random(2<<20, 13)
	stored := zstdBytes(t, content)
	before := runtime.NumGoroutine()
	for name, leave := range map[string]func(*Batch, context.CancelFunc){
		"unread":            func(*Batch, context.CancelFunc) {},
		"after a byte":      func(b *Batch, _ context.CancelFunc) { _, _ = b.Read(make([]byte, 1)) },
		"at the end":        func(b *Batch, _ context.CancelFunc) { _, _ = io.Copy(io.Discard, b) },
		"finished":          func(b *Batch, _ context.CancelFunc) { _ = b.Finish() },
		"cancelled":         func(_ *Batch, cancel context.CancelFunc) { cancel() },
		"cancelled midways": func(b *Batch, cancel context.CancelFunc) { _, _ = b.Read(make([]byte, 1)); cancel() },
	} {
		for i := range 20 {
			f := fault{}
			if i%3 == 0 {
				f = fault{cut: 100 << 10, stall: true}
			}
			ctx, cancel := context.WithCancel(t.Context())
			fetcher := New(one(stored, func(request int, _ int64) fault {
				if request == 1 {
					return f
				}
				return fault{}
			}).open(t), way(Options{MaxAttempts: 1000, Backoff: time.Microsecond, IdleTimeout: time.Millisecond}))
			object, err := fetcher.Locate(ctx, 1)
			if err != nil {
				t.Fatal(err)
			}
			batch, err := fetcher.Open(ctx, object, nil)
			if err != nil {
				t.Fatal(err)
			}
			leave(batch, cancel)
			if err := batch.Close(); err != nil {
				t.Error(err)
			}
			cancel()
		}
		wantGoroutines(t, name, before)
	}
}

// A cancelled context alone ends the goroutine, even if the caller forgets to close.
func TestCancelReleases(t *testing.T) {
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	for range 20 {
		if _, err := Decode(ctx, bytes.NewReader(make([]byte, 4<<20)), -1, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	wantGoroutines(t, "cancelled", before)
}

// wantGoroutines waits for the number of goroutines to be what it was.
func wantGoroutines(t *testing.T, name string, before int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%s: %d goroutines, %d before\n%s", name, runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

type panicking struct{}

func (panicking) Write([]byte) (int, error) { panic("a bug") }

// A panic on the goroutine, where no caller could recover it, is an error and no rejection.
func TestPanic(t *testing.T) {
	t.Parallel()
	batch := fetch(t, one([]byte("proof"), nil), Options{}, panicking{})
	_, err := io.ReadAll(batch)
	if err == nil || !Transient(err) || !strings.Contains(err.Error(), "panic: a bug") {
		t.Errorf("got %v", err)
	}
	if finish := batch.Finish(); finish != err {
		t.Errorf("Finish gave %v", finish)
	}
}
