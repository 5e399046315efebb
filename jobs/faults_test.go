package jobs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// Faults of every kind, in every request, never become a verdict; and as they are transient, every epoch gets one in the end.
func TestFaultsNeverBecomeVerdicts(t *testing.T) {
	t.Parallel()
	const epochs = 12
	tampered := map[uint64]simlog.Kind{3: simlog.Malformed, 5: simlog.Digest, 7: simlog.SignedDigest, 9: simlog.Equivocate}
	w := newWorld(t, simlog.Options{Epochs: epochs, Compression: simlog.Mixed, Tamper: tampered})
	for seed := range uint64(12) {
		faults := &faultyReads{seed: rand.New(rand.NewPCG(seed, 1)), share: 0.3}
		log := faults.over(t, w.log)
		audit := openMemory(t)
		config := testConfig(t, log, faults.over(t, w.signatures), auditstore.New(audit))
		w := &world{log: log, audit: audit, config: config}
		a := w.auditor(t)
		attempts := 0
		for epoch := uint64(1); epoch <= epochs; epoch++ {
			v, err := a.Audit(t.Context(), epoch)
			for ; err != nil; attempts++ {
				if attempts > 10_000 {
					t.Fatalf("seed %d, epoch %d: no end: %v", seed, epoch, err)
				}
				v, err = a.Audit(t.Context(), epoch)
			}
			outcome, reason := verdict.Verified, verdict.Reason("")
			if kind, ok := tampered[epoch]; ok {
				outcome, reason = simlog.Expected(kind)
			}
			if v.Outcome != outcome || v.Reason != reason {
				t.Errorf("seed %d: epoch %d is %s (%s: %s), want %s (%s)", seed, epoch, v.Outcome, v.Reason, v.Detail, outcome, reason)
			}
		}
		if attempts == 0 {
			t.Errorf("seed %d: nothing ever failed", seed)
		}
	}
}

// A body that was damaged on its way is fetched again before the epoch is rejected.
func TestDamagedBodyIsNotRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 1})
	faults := &faultyReads{seed: rand.New(rand.NewPCG(1, 1)), damage: 1}
	w.config.Fetcher = fetcher.New(faults.over(t, w.log), fetcher.Options{})
	a := w.auditor(t)
	if _, err := a.Audit(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "two different bodies") {
		t.Fatalf("error is %v, want one about two different bodies", err)
	}
	faults.damage = 0
	if v, err := a.Audit(t.Context(), 1); err != nil || v.Outcome != verdict.Verified {
		t.Errorf("verdict is %s (%s), %v", v.Outcome, v.Reason, err)
	}
}

// A log that replaces a batch by one of another name between two looks has published both.
func TestReplacedBatchIsEquivocation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 1, Tamper: map[uint64]simlog.Kind{1: simlog.Malformed}})
	before := w.keyOf(t, 1)
	name, err := parseBatchKey(before)
	if err != nil {
		t.Fatal(err)
	}
	name.Digest[0] ^= 1
	faults := &faultyReads{seed: rand.New(rand.NewPCG(1, 1)), afterOpen: func() { moveObject(t, w.log, before, name.String()) }}
	w.config.Fetcher = fetcher.New(faults.over(t, w.log), fetcher.Options{})
	v, err := w.auditor(t).Audit(t.Context(), 1)
	if err != nil || v.Reason != verdict.Equivocation {
		t.Fatalf("verdict is %s (%s: %s), %v", v.Outcome, v.Reason, v.Detail, err)
	}
	for _, key := range []string{before, name.String()} {
		if !strings.Contains(v.Detail, key) {
			t.Errorf("detail %q does not name %s", v.Detail, key)
		}
	}
}

// faultyReads makes reads of a bucket go wrong.
type faultyReads struct {
	mu         sync.Mutex
	seed       *rand.Rand
	share      float64 // of requests that fail, or whose body breaks off
	damage     float64 // of bodies with one byte changed
	beforeOpen func()  // called before a body is opened
	afterOpen  func()  // called once, after the first body was opened
	closed     func()  // called when a body is closed
}

func (f *faultyReads) chance(share float64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seed.Float64() < share
}

var errFault = errors.New("503 slow down")

// over returns a bucket that reads from b, faults included.
func (f *faultyReads) over(t testing.TB, b *blob.Bucket) *blob.Bucket {
	t.Helper()
	faulty := blob.NewBucket(&faultyBucket{faults: f, b: b})
	t.Cleanup(func() { _ = faulty.Close() })
	return faulty
}

type faultyBucket struct {
	driver.Bucket // what is only read has no use for it
	faults        *faultyReads
	b             *blob.Bucket
}

func (f *faultyBucket) As(any) bool                            { return false }
func (f *faultyBucket) Close() error                           { return nil }
func (f *faultyBucket) ErrorCode(err error) gcerrors.ErrorCode { return gcerrors.Code(err) }
func (f *faultyBucket) ErrorAs(error, any) bool                { return false }

func (f *faultyBucket) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	if f.faults.chance(f.faults.share) {
		return nil, errFault
	}
	page := &driver.ListPage{}
	for objects := f.b.List(&blob.ListOptions{Prefix: o.Prefix}); ; {
		object, err := objects.Next(ctx)
		if err == io.EOF {
			slices.SortFunc(page.Objects, func(x, y *driver.ListObject) int { return strings.Compare(x.Key, y.Key) })
			return page, nil
		}
		if err != nil {
			return nil, err
		}
		page.Objects = append(page.Objects, &driver.ListObject{Key: object.Key, Size: object.Size, ModTime: object.ModTime})
	}
}

func (f *faultyBucket) NewRangeReader(ctx context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	if f.faults.chance(f.faults.share) {
		return nil, errFault
	}
	if f.faults.beforeOpen != nil {
		f.faults.beforeOpen()
	}
	data, err := f.b.ReadAll(ctx, key)
	if err != nil {
		return nil, err
	}
	r := &faultyReader{size: int64(len(data)), end: io.EOF, closed: f.faults.closed}
	if f.faults.afterOpen != nil {
		f.faults.afterOpen()
		f.faults.afterOpen = nil
	}
	if len(data) > 0 && f.faults.chance(f.faults.damage) {
		f.faults.mu.Lock()
		data[f.faults.seed.IntN(len(data))] ^= byte(1 + f.faults.seed.IntN(255))
		f.faults.mu.Unlock()
	}
	data = data[min(offset, int64(len(data))):]
	if f.faults.chance(f.faults.share) {
		f.faults.mu.Lock()
		data, r.end = data[:f.faults.seed.IntN(len(data)+1)], []error{errFault, io.ErrUnexpectedEOF}[f.faults.seed.IntN(2)]
		f.faults.mu.Unlock()
	}
	r.Reader = *bytes.NewReader(data)
	return r, nil
}

type faultyReader struct {
	bytes.Reader
	size   int64
	end    error
	closed func()
}

func (r *faultyReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		err = r.end
	}
	return n, err
}

func (r *faultyReader) Close() error {
	if r.closed != nil {
		r.closed()
	}
	return nil
}

func (r *faultyReader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{Size: r.size}
}
func (r *faultyReader) As(any) bool { return false }
