package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

const (
	// The validator needs at most twice the proof's bytes, and so much for each goroutine that hashes; the fetcher's
	// buffers and a decompressor take the rest.
	memoryPerByte   = 2
	memoryPerWorker = 3 << 20
	memoryForFetch  = 2 << 20
	// smallBatch is a batch that is verified with next to no memory besides its own.
	smallBatch      = 256 << 10
	memoryWhenSmall = 1 << 20
	// plainWindow is the window that a decoder has room for in what is set aside for every batch, usualWindow the largest that
	// compressors make use of unless they are told to.
	plainWindow = 256 << 10
	usualWindow = 8 << 20
	// compressionGuess is how many times its stored size a compressed batch is taken to have. Proofs are hashes, which
	// hardly shrink.
	compressionGuess = 3
	// guessStep is by how much the guess is raised when it was wrong.
	guessStep = 8
)

// errOverGuess: a batch turned out larger than the memory that was set aside for it.
var errOverGuess = errors.New("batch is larger than expected")

// finding is what one look at a batch came to.
type finding struct {
	result validator.Result
	info   fetcher.Info
	took   time.Duration // to download and verify it, without the wait for memory
	stale  error         // the batch is not what was listed
}

// isFinding says whether an error of the fetcher's says something about the log and not about the way to it.
func isFinding(err error) bool { return err != nil && !fetcher.Transient(err) }

// examineAgain downloads and verifies a batch of an epoch that would be rejected once more, from the listing on, and keeps it: a
// rejection is for ever, so no fault of a disk, a cache or a line may cause one.
func (j *judgement) examineAgain(ctx context.Context, first finding) (finding, error) {
	object := j.object
	again, err := j.auditor.locate(ctx, object.Name.Epoch)
	if err != nil {
		return finding{}, err
	}
	if again.Name != object.Name {
		return finding{}, &fetcher.EquivocationError{Epoch: object.Name.Epoch, Keys: []string{object.Key, again.Key}}
	}
	j.object = again
	if first.result.Outcome == validator.Rejected {
		cause := fmt.Errorf("batch %s: %s: %s", again.Key, first.result.Reason, first.result.Detail)
		if err := j.auditor.settled(again.ModTime, cause); err != nil {
			return finding{}, err
		}
	}
	second, err := j.examine(ctx, again, !j.auditor.Archive)
	if err != nil {
		return finding{}, err
	}
	if second.result.Outcome == validator.Rejected && second.stale != nil {
		return finding{}, second.stale
	}
	if second.info != first.info || second.result.Outcome != first.result.Outcome || second.result.Reason != first.result.Reason {
		return finding{}, fmt.Errorf("batch %s: the source served two different bodies: first %s %s (sha256 %s), then %s %s (sha256 %s)",
			object.Key, first.result.Outcome, first.result.Reason, first.info.SHA256,
			second.result.Outcome, second.result.Reason, second.info.SHA256)
	}
	return second, nil
}

// examine looks at a batch once, with memory set aside for the size it is expected to have, and for the window if it is compressed.
// Where that was too little it starts over with more, which keeps batches that unpack to many times their size, or ask for
// a window of many times that, from all doing so at once; likewise where the batch is not in the order that lets the
// validator do with little.
func (j *judgement) examine(ctx context.Context, object fetcher.Object, keep bool) (finding, error) {
	guess, window := max(object.Size, smallBatch), int64(plainWindow)
	if object.Extension != "" {
		guess, window = guess*compressionGuess, usualWindow
	}
	ordered := true
	for {
		found, err := j.examineWithin(ctx, object, keep, guess, window, ordered)
		switch {
		case errors.Is(err, fetcher.ErrWindow) && window < usualWindow:
			window = usualWindow
		case errors.Is(err, fetcher.ErrWindow):
			window = j.auditor.Fetcher.MaxWindow()
		case errors.Is(err, errOverGuess):
			guess *= guessStep
		case errors.Is(err, validator.ErrUnordered):
			ordered = false
		default:
			return found, err
		}
	}
}

func (j *judgement) examineWithin(ctx context.Context, object fetcher.Object, keep bool, guess, window int64, ordered bool) (finding, error) {
	a := j.auditor
	waiting := time.Now()
	release, err := a.Budget.acquire(ctx, memoryFor(guess, window))
	if err != nil {
		return finding{}, err
	}
	defer release()
	j.measured.Stage(observe.Memory, waiting)

	var stored io.Writer // the interface must be nil, not hold a nil pointer
	if keep {
		if err := j.openArchive(ctx, object); err != nil {
			return finding{}, err
		}
		stored = j.archive
	}
	began := time.Now()
	batch, err := a.Fetcher.WithWindow(window).Open(ctx, object, stored)
	if errors.Is(err, fetcher.ErrTooLarge) {
		j.close() // nothing was read
		if err := j.addEvidence("batch", map[string]any{"key": object.Key, "stored_bytes": object.Size}); err != nil {
			return finding{}, err
		}
		return finding{result: rejected(verdict.BatchTooLarge, err), info: fetcher.Info{StoredBytes: object.Size}}, nil
	}
	if err != nil {
		return finding{}, err
	}
	defer batch.Close()

	limits := a.Limits
	workers, done := a.Budget.share()
	defer done()
	limits.Workers, limits.Ordered = workers, ordered
	proof := &guarded{r: batch, left: guess}
	result, err := validator.Verify(ctx, object.Name, proof, a.Configuration, limits)
	verified := time.Now()
	switch {
	case errors.Is(err, fetcher.ErrWindow) && window < a.Fetcher.MaxWindow():
		return finding{}, err
	case errors.Is(err, fetcher.ErrTooLarge):
		result = rejected(verdict.BatchTooLarge, err)
	case errors.Is(err, fetcher.ErrCorrupt):
		result = rejected(verdict.MalformedProof, err)
	case err != nil:
		return finding{}, err
	}
	if err := batch.Finish(); err != nil {
		return finding{}, err
	}
	finished := time.Now()
	j.measured.Overlapped(observe.Download, began, finished, proof.waited+finished.Sub(verified))
	j.measured.Overlapped(observe.Verify, began, verified, verified.Sub(began)-proof.waited)
	info, err := batch.Info()
	j.measured.Read(info.StoredBytes, info.Bytes)
	return finding{result, info, finished.Sub(began), batch.Stale()}, err
}

// download returns the batch that was judged, as it is stored.
func (j *judgement) download(ctx context.Context) ([]byte, error) {
	window := j.auditor.Fetcher.MaxWindow()
	release, err := j.auditor.Budget.acquire(ctx, memoryFor(j.verdict.Batch.StoredBytes, window))
	if err != nil {
		return nil, err
	}
	defer release()
	var stored bytes.Buffer
	batch, err := j.auditor.Fetcher.WithWindow(window).Open(ctx, j.object, &stored)
	if err != nil {
		return nil, err
	}
	defer batch.Close()
	if err := batch.Finish(); err != nil {
		return nil, err
	}
	info, err := batch.Info()
	if err == nil && info.SHA256 != j.verdict.Batch.SHA256 {
		err = fetcher.ErrChanged
	}
	return stored.Bytes(), err
}

// memoryFor is what to set aside for a batch of at most so many bytes and a decoder with such a window.
func memoryFor(size, window int64) int64 {
	if window <= plainWindow {
		window = 0
	}
	if size <= smallBatch {
		return memoryWhenSmall + window
	}
	workers := min(int64(runtime.GOMAXPROCS(0)), 1+size/(1<<20))
	return memoryPerByte*size + workers*memoryPerWorker + memoryForFetch + window
}

func rejected(reason verdict.Reason, err error) validator.Result {
	return validator.Result{Outcome: validator.Rejected, Reason: reason, Detail: err.Error()}
}

// guarded passes on so many bytes, and fails if there are more. It adds up how long it waits for them.
type guarded struct {
	r      io.Reader
	left   int64
	waited time.Duration
}

func (g *guarded) Read(p []byte) (int, error) {
	began := time.Now()
	n, err := g.r.Read(p[:min(int64(len(p)), g.left+1)])
	g.waited += time.Since(began)
	if int64(n) > g.left {
		return 0, errOverGuess
	}
	g.left -= int64(n)
	return n, err
}

// archive is a batch on its way into the audit store.
type archive struct {
	*auditstore.ArchiveWriter
	release context.CancelFunc
}

// openArchive begins to keep the stored bytes of a batch. What was kept before, of an earlier look, is dropped.
func (j *judgement) openArchive(ctx context.Context, object fetcher.Object) error {
	j.close()
	extension := object.Extension
	if extension == ".sz" { // the other name of s2's framing
		extension = ".s2"
	}
	ctx, release := wait.Outlive(ctx, saveTimeout)
	w, err := j.auditor.Store.ArchiveWriter(ctx, j.auditor.Namespace, object.Name.Epoch, extension)
	if err != nil {
		release()
		return err
	}
	j.archive = &archive{w, release}
	return nil
}

// close drops an archive that was not committed.
func (j *judgement) close() {
	if j.archive != nil {
		j.archive.Abort()
		j.archive.release()
		j.archive = nil
	}
}
