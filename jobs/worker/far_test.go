package worker

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/farstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/audittest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/verify"
)

// farSlower is for machines that are busy: with a line that is ten times slower, and ten times as
// far away, they are as ten times faster ones.
var farSlower = flag.Int64("far-slower", 1, "BenchmarkFarStore: how many times slower and farther away the store is")

// BenchmarkFarStore audits epochs of 45 MB from a store that gives 20 MB/s a connection and 1 Gbit/s
// together, 50 ms away, with three slots, and reports what share of the line was in use. The store
// is in the same process and takes part of the processor.
func BenchmarkFarStore(b *testing.B) {
	const first, epochs = 2, 24
	folder := b.TempDir()
	log, err := blobstore.OpenBucket(b.Context(), folder)
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	signatures := jobstest.OpenMemory(b)
	if _, err := simlog.Write(b.Context(), log, signatures, simlog.Options{
		First: first, Epochs: epochs, Insertions: 57_000, DirectorySize: 1 << 32, Namespace: jobstest.Namespace, SigningKey: jobstest.Key(),
	}, nil); err != nil {
		b.Fatal(err)
	}
	total := folderSize(b, folder)
	line := farstore.Line{
		Latency: 50 * time.Millisecond * time.Duration(*farSlower), Connection: 20e6 / *farSlower, Total: 125e6 / *farSlower,
	}
	store, err := farstore.Serve(b.Context(), folder, line)
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	far, err := blobstore.OpenBucket(b.Context(), store.BucketURL())
	if err != nil {
		b.Fatal(err)
	}
	defer far.Close()
	for _, way := range []struct {
		name   string
		ranges int
	}{{"serial", 1}, {"ranges", blobstore.Ranges(store.BucketURL())}} {
		b.Run(way.name, func(b *testing.B) {
			b.SetBytes(total)
			before, _ := store.Requests()
			for b.Loop() {
				config := audittest.Of(jobstest.WorldIn(b, far, signatures, auditstore.New(jobstest.OpenMemory(b)))).Config
				config.Fetcher = fetcher.New(far, fetcher.Options{Ranges: way.ranges})
				config.Budget = verify.NewBudget(1 << 30)
				config.First = first
				a, err := audit.New(config)
				if err != nil {
					b.Fatal(err)
				}
				got, err := runRange(context.Background(), queuetest.InProcess(b), a, RunConfig{
					From: first, To: first + epochs - 1, Worker: Config{Concurrency: 3, PollInterval: 10 * time.Millisecond},
				})
				if err != nil || got.Verified != epochs {
					b.Fatalf("%+v, %v", got, err)
				}
			}
			b.ReportMetric(100*float64(total)*float64(b.N)/b.Elapsed().Seconds()/float64(line.Total), "%-of-line")
			after, _ := store.Requests()
			b.ReportMetric(float64(after-before)/float64(b.N)/epochs, "requests/epoch")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// folderSize is how many bytes the files in a folder have.
func folderSize(b *testing.B, folder string) (total int64) {
	b.Helper()
	err := filepath.WalkDir(folder, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		total += info.Size()
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return total
}
