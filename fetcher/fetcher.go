package fetcher

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
	"gocloud.dev/blob"
)

// DefaultMinRate is the default of Options.MinRate. Ten transfers at this rate fit through a line
// of 1.3 Mbit/s, and no public log is to be followed through less.
const DefaultMinRate = 16 << 10

// Options bound what one batch may cost. A zero field, or a negative one, stands for its default.
type Options struct {
	// MaxStoredBytes is how large an object may be in the log directory. Default 2 GiB.
	MaxStoredBytes int64
	// MaxBytes is how large a batch may be after decompression. Default 4 GiB.
	MaxBytes int64
	// MaxRatio is how many times its stored size a batch may decompress to. Audit proofs are mostly
	// hashes and hardly shrink, so only a decompression bomb reaches the default of 200.
	MaxRatio int
	// RatioFloor is how many bytes a batch may decompress to whatever its ratio, for small batches
	// with repetitive content. Default 16 MiB.
	RatioFloor int64
	// MaxWindow is how many bytes of a zstd frame's window a decoder holds, and a little more. A
	// frame may ask for more as long as it unpacks to less. Default MaxBytes, with which every
	// frame can be read that is within it.
	MaxWindow int64

	// Unhashed leaves Info.SHA256 empty, for those who have no use for it.
	Unhashed bool

	// Ranges is how many parts of one object are fetched at once, of 4 MiB each, if it has more
	// than two; at most MaxRanges. They are held in memory until they are read. Default 1: an
	// object is fetched with one request. See blobstore.Ranges.
	Ranges    int
	rangeSize int64 // of such a part; for tests
	// ETag, if not nil, tells the states of an object apart that bodies are of, where size and time
	// of writing do not; "" if it cannot. For public logs package s3list does. See blobstore.ETag.
	ETag func(*blob.Reader) string

	// Present, if not nil, is called with an epoch's prefix when nothing is listed under it. An
	// error means that the log directory itself is missing or may not be read, so that the empty
	// listing says nothing about the epoch. See blobstore.Present.
	Present func(ctx context.Context, prefix string) error

	// MaxAttempts is how many requests for a body may fail one after the other; one that brought at
	// least 64 KiB starts the count again. Default 5.
	MaxAttempts int
	// Backoff is the wait before the second request. It doubles each time, up to 10 s or Backoff if
	// that is longer, and varies at random by half of itself either way. Default 250 ms.
	Backoff time.Duration
	// IdleTimeout is how long a request may bring nothing before it counts as failed. Default 25 s.
	IdleTimeout time.Duration
	// ListTimeout is how long it may take to list what is under an epoch. Default 1 minute.
	ListTimeout time.Duration
	// MinRate is how many bytes a second the stored bytes of a batch must come at, over all its
	// requests and the waits between them. What is slower for longer than a minute, or 40 s at the
	// start, is a transient fault; so a batch of n bytes takes no more than 40 s and n / MinRate.
	// Time in which nobody reads does not count. Default 16 KiB.
	MinRate int64
}

func (o Options) withDefaults() Options {
	o.MaxStoredBytes = cmp.Or(max(o.MaxStoredBytes, 0), 2<<30)
	o.MaxBytes = cmp.Or(max(o.MaxBytes, 0), 4<<30)
	o.MaxRatio = cmp.Or(max(o.MaxRatio, 0), 200)
	o.RatioFloor = cmp.Or(max(o.RatioFloor, 0), 16<<20)
	o.MaxWindow = cmp.Or(max(o.MaxWindow, 0), o.MaxBytes)
	o.MaxAttempts = cmp.Or(max(o.MaxAttempts, 0), 5)
	o.Backoff = cmp.Or(max(o.Backoff, 0), 250*time.Millisecond)
	o.IdleTimeout = cmp.Or(max(o.IdleTimeout, 0), 25*time.Second)
	o.ListTimeout = cmp.Or(max(o.ListTimeout, 0), time.Minute)
	o.MinRate = cmp.Or(max(o.MinRate, 0), DefaultMinRate)
	o.Ranges = min(max(o.Ranges, 1), MaxRanges)
	o.rangeSize = cmp.Or(o.rangeSize, rangeSize)
	return o
}

// maxBytes is how many bytes a batch of the given stored size may decompress to.
func (o Options) maxBytes(stored int64) int64 {
	byRatio := o.MaxBytes
	if stored <= o.MaxBytes/int64(o.MaxRatio) { // else the product is over MaxBytes, or overflows
		byRatio = stored * int64(o.MaxRatio)
	}
	return min(o.MaxBytes, max(byRatio, o.RatioFloor))
}

// Fetcher reads the batches of one log directory. Several goroutines may use it at once.
type Fetcher struct {
	bucket  *blob.Bucket
	options Options
	turns   chan struct{} // of parts that are fetched ahead
}

// New returns a Fetcher for the log directory in bucket, which stays the caller's to close.
func New(bucket *blob.Bucket, o Options) *Fetcher {
	return &Fetcher{bucket: bucket, options: o.withDefaults(), turns: make(chan struct{}, maxTurns)}
}

// MaxWindow is how many bytes of a zstd frame's window a decoder holds at most.
func (f *Fetcher) MaxWindow() int64 { return f.options.MaxWindow }

// ReadAhead is how many bytes of an object of so many are held in memory before they are read,
// beside the decoder and its buffers: parts that are fetched at once. It is 0 where Options.Ranges
// is 1.
func (f *Fetcher) ReadAhead(size int64) int64 { return f.options.readAhead(size) }

// WithWindow returns a Fetcher for the same log directory whose MaxWindow is n bytes, but at least
// 1 KiB, which is the least a frame can ask for, and at most f's. Where that is too little, reading
// a Batch fails with ErrWindow.
func (f Fetcher) WithWindow(n int64) *Fetcher {
	f.options.MaxWindow = min(max(n, zstd.MinWindowSize), f.options.MaxWindow)
	return &f
}

// InOnePart returns a Fetcher for the same log directory that fetches no ranges ahead.
func (f Fetcher) InOnePart() *Fetcher {
	f.options.Ranges = 1
	return &f
}

// Open starts to download and decompress an object that Locate returned. If archive is not nil, the
// stored bytes are written to it as they come; it has all of them once Finish has returned nil, and
// is not written to after Close.
//
// An object larger than MaxStoredBytes is refused here, unread, with ErrTooLarge. The Batch reports
// faults of the network. The caller must close the Batch; ctx ends it too.
func (f *Fetcher) Open(ctx context.Context, object Object, archive io.Writer) (*Batch, error) {
	label := fmt.Sprintf("batch %s", object.Key)
	switch {
	case object.Size < 0:
		return nil, fmt.Errorf("%s: the listing gives it %d bytes", label, object.Size)
	case object.Size > f.options.MaxStoredBytes:
		return nil, fmt.Errorf("%s: has %d bytes, limit %d: %w", label, object.Size, f.options.MaxStoredBytes, ErrTooLarge)
	}
	ctx, cancel := context.WithCancel(ctx)
	body := newDownload(ctx, f.bucket, object, f.options, f.turns)
	batch := newBatch(ctx, cancel, &storedReader{
		ctx: ctx, label: label, r: body, size: object.Size, limit: f.options.MaxStoredBytes, archive: archive,
	}, body.end, f.options)
	batch.stale = body.stale
	return batch, nil
}

// Decode reads a batch from r, such as a local file, under the same limits and in the same formats
// as Open. Size is how many bytes r has, or -1 if that is not known; then MaxRatio applies to every
// prefix of the batch instead of the whole.
//
// The caller must close the Batch, which waits for a Read of r to return, but does not close r.
func Decode(ctx context.Context, r io.Reader, size int64, o Options) (*Batch, error) {
	o = o.withDefaults()
	if size > o.MaxStoredBytes {
		return nil, fmt.Errorf("batch: has %d bytes, limit %d: %w", size, o.MaxStoredBytes, ErrTooLarge)
	}
	ctx, cancel := context.WithCancel(ctx)
	return newBatch(ctx, cancel, &storedReader{
		ctx: ctx, label: "batch", r: r, size: size, limit: o.MaxStoredBytes,
	}, func() {}, o), nil
}

// Copy writes an object that Locate or Find returned to w as it is stored, fetched in one part, and
// returns its SHA-256 in hexadecimal. An error is a fault of the network or of w.
func (f *Fetcher) Copy(ctx context.Context, object Object, w io.Writer) (hash string, err error) {
	if object.Size < 0 || object.Size > f.options.MaxStoredBytes {
		return "", fmt.Errorf("batch %s: has %d bytes, limit %d", object.Key, object.Size, f.options.MaxStoredBytes)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body := newDownload(ctx, f.bucket, object, f.InOnePart().options, f.turns)
	defer body.end()
	stored := &storedReader{
		ctx: ctx, label: fmt.Sprintf("batch %s", object.Key), r: body, size: object.Size, limit: f.options.MaxStoredBytes, archive: w, sum: sha256.New(),
	}
	if _, err := io.Copy(io.Discard, stored); err != nil {
		return "", err
	}
	return stored.hash(), body.stale()
}
