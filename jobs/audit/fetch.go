package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/share"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

const (
	// plainWindow is the window that a decoder has room for in what is set aside for every batch,
	// usualWindow the largest that compressors make use of unless they are told to.
	plainWindow = 256 << 10
	usualWindow = 8 << 20
	// compressionGuess is how many times its stored size a compressed batch is taken to have.
	// Proofs are hashes, which hardly shrink.
	compressionGuess = 3
	// guessStep is by how much the guess is raised when it was wrong, and a window that was too
	// small.
	guessStep = 8
)

// fetched is what came of fetching a batch and verifying it while it is read.
type fetched struct {
	result   validator.Result
	info     fetcher.Info
	took     time.Duration // to download and verify it, without the wait for memory
	stale    error         // the batch is not what was listed
	evidence []incident.Evidence
	draft    *draft // of the stored bytes, if asked for
}

// fetch reads and verifies a batch once, with memory set aside for the size it is expected to have,
// and for the window if it is compressed. Where that was too little it starts over with more, which
// keeps batches that unpack to many times their size, or ask for a window of many times that, from
// all doing so at once; likewise where the batch is not in the order that lets the validator do
// with little.
//
// One that may take more than the whole budget is confined to a part of it. In order it may do with
// that, and is read once. If it proves not to, it is read several times.
//
// The caller commits or drops the draft; with an error there is none.
func (a *Auditor) fetch(ctx context.Context, t *attempt, object fetcher.Object, draft bool) (found fetched, err error) {
	guess, window := max(object.Size, smallBatch), int64(plainWindow)
	if object.Extension != "" {
		guess, window = guess*compressionGuess, usualWindow
	}
	ordered := true
	for {
		r := a.reserve(guess, window)
		if r.confined && !ordered {
			found, err = a.fetchInPasses(ctx, t, object, draft, r)
		} else {
			found, err = a.fetchWithin(ctx, t, object, draft, r, ordered)
		}
		switch {
		case errors.Is(err, fetcher.ErrWindow) && window < a.widestWindow():
			window = min(max(window*guessStep, usualWindow), a.widestWindow())
		case errors.Is(err, fetcher.ErrWindow):
			return found, fmt.Errorf("%w: half the memory budget has no room for it, which is no fault of the log; give ktaudit more memory", err)
		case errors.Is(err, share.ErrOverGuess):
			guess *= guessStep
		case errors.Is(err, validator.ErrUnordered), errors.Is(err, validator.ErrMemory):
			ordered = false
		default:
			return found, err
		}
	}
}

// widestWindow is the largest window that a decoder gets memory for.
func (a *Auditor) widestWindow() int64 {
	return min(a.Fetcher.MaxWindow(), max(a.Budget.Size()/2, usualWindow))
}

func (a *Auditor) fetchWithin(ctx context.Context, t *attempt, object fetcher.Object, keep bool, r reserve, ordered bool) (f fetched, err error) {
	waiting := time.Now()
	outer := ctx // a draft outlives the hold
	hold, ctx, err := a.Budget.memory.Acquire(ctx, a.Namespace, r.memory)
	if err != nil {
		return f, err
	}
	defer hold.Release()
	defer func() { err = reclaimed(ctx, object, err) }()
	t.Stage(observe.Memory, waiting)
	share.Progress(ctx)

	var stored io.Writer // the interface must be nil, not hold a nil pointer
	var kept *draft
	if keep {
		if kept, err = a.newDraft(outer, object); err != nil {
			return f, err
		}
		defer func() {
			if f.draft == nil { // not handed over: an error, a batch too large, or a panic
				kept.drop()
			}
		}()
		stored = kept
	}
	began := time.Now()
	batch, err := a.Fetcher.WithWindow(r.window).Open(ctx, object, stored)
	if errors.Is(err, fetcher.ErrTooLarge) {
		return tooLarge(object, err)
	}
	if err != nil {
		return f, err
	}
	defer batch.Close()

	limits := a.Limits
	limits.Workers, limits.Ordered = hold.Cores(runtime.GOMAXPROCS(0)), ordered
	if r.confined {
		limits.Workers, limits.MaxMemory = r.hashing(limits.Workers)
	}
	proof := share.NewReader(ctx, batch, r.guess, r.until, hold)
	defer proof.Close()
	f.result, err = validator.Verify(ctx, object.Name, t.sample.of(proof, r.guess), a.Configuration, limits)
	verified := time.Now()
	share.Progress(ctx)
	if f.result, err = judged(f.result, err); err != nil {
		return f, err
	}
	if err := batch.Finish(); err != nil {
		return f, err
	}
	finished := time.Now()
	t.Overlapped(observe.Download, began, finished, proof.Waited+finished.Sub(verified))
	t.Overlapped(observe.Verify, began, verified, verified.Sub(began)-proof.Waited)
	f.info, err = batch.Info()
	t.Read(f.info.StoredBytes, f.info.Bytes)
	f.took, f.stale = finished.Sub(began), batch.Stale()
	if err == nil {
		f.draft = kept
	}
	return f, err
}

// reclaimed says why work under the context of a hold has failed, if the hold was reclaimed.
func reclaimed(held context.Context, object fetcher.Object, err error) error {
	if err != nil && errors.Is(context.Cause(held), share.ErrReclaimed) {
		return fmt.Errorf("epoch %d: %w", object.Name.Epoch, share.ErrReclaimed)
	}
	return err
}

// tooLarge rejects a batch of which nothing was read.
func tooLarge(object fetcher.Object, cause error) (fetched, error) {
	evidence, err := incident.EvidenceOf("batch", map[string]any{"key": object.Key, "stored_bytes": object.Size})
	return fetched{
		result: rejection(fetcher.Reason(cause), cause), info: fetcher.Info{StoredBytes: object.Size},
		evidence: []incident.Evidence{evidence},
	}, err
}

// judged makes a rejection of an error in reading a batch that is grounds for one.
func judged(result validator.Result, err error) (validator.Result, error) {
	if reason := fetcher.Reason(err); reason != "" {
		return rejection(reason, err), nil
	}
	return result, err
}

func rejection(reason verdict.Reason, err error) validator.Result {
	return validator.Result{Outcome: validator.Rejected, Reason: reason, Detail: err.Error()}
}

// draft is a batch on its way into the archive. A nil draft is none.
type draft struct {
	*auditstore.ArchiveWriter
	release context.CancelFunc
}

// newDraft begins to keep the stored bytes of a batch.
func (a *Auditor) newDraft(ctx context.Context, object fetcher.Object) (*draft, error) {
	extension := object.Extension
	if extension == ".sz" { // the other name of s2's framing
		extension = ".s2"
	}
	ctx, release := wait.Outlive(ctx, saveTimeout)
	w, err := a.Store.ArchiveWriter(ctx, a.Namespace, object.Name.Epoch, extension)
	if err != nil {
		release()
		return nil, err
	}
	return &draft{w, release}, nil
}

// drop ends a draft. One that was committed stays in the archive.
func (d *draft) drop() {
	if d != nil {
		d.Abort()
		d.release()
	}
}
