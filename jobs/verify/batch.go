package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
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

// Verifier reads batches of one log. All its fields must be set, but for Limits.
type Verifier struct {
	Namespace     string
	Configuration validator.Configuration
	// Limits are those on a proof. Their Workers and Ordered are not used: every epoch gets a share
	// of the cores, and is taken for ordered until it proves not to be.
	Limits  validator.Options
	Fetcher *fetcher.Fetcher
	Store   *auditstore.Store // with the archive
	Budget  *Budget           // which the log has joined
}

// Found is what came of reading a batch and verifying it.
type Found struct {
	Result   validator.Result
	Info     fetcher.Info
	Took     time.Duration // to download and verify it, without the wait for memory
	Stale    error         // the batch is not what was listed
	Evidence []incident.Evidence
	Draft    *Draft // of the stored bytes, if asked for
}

// Options say what else is done with the bytes of a batch.
type Options struct {
	Draft  bool    // keep the stored ones for the archive
	Sample *Sample // keep those of the proof; nil: do not
}

// Batch reads and verifies a batch once, with memory set aside for the size it is expected to have,
// and for the window if it is compressed. Where that was too little it starts over with more, which
// keeps batches that unpack to many times their size, or ask for a window of many times that, from
// all doing so at once; likewise where the batch is not in the order that lets the validator do
// with little.
//
// One that may take more than the whole budget is confined to a part of it. In order it may do with
// that, and is read once. If it proves not to, it is read several times.
//
// The caller commits or drops the draft; with an error there is none.
func (v *Verifier) Batch(ctx context.Context, t observe.Attempt, object fetcher.Object, o Options) (found Found, err error) {
	guess, window := max(object.Size, smallBatch), int64(plainWindow)
	if object.Extension != "" {
		guess, window = guess*compressionGuess, usualWindow
	}
	ordered := true
	for {
		r := v.reserve(guess, window, v.Fetcher.ReadAhead(object.Size))
		if r.confined && !ordered {
			found, err = v.readInPasses(ctx, t, object, o.Draft, r)
		} else {
			found, err = v.readWithin(ctx, t, object, o, r, ordered)
		}
		switch {
		case errors.Is(err, fetcher.ErrWindow) && window < v.widestWindow():
			window = min(max(window*guessStep, usualWindow), v.widestWindow())
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
func (v *Verifier) widestWindow() int64 {
	return min(v.Fetcher.MaxWindow(), max(v.Budget.Size()/2, usualWindow))
}

func (v *Verifier) readWithin(ctx context.Context, t observe.Attempt, object fetcher.Object, o Options, r reserve, ordered bool) (f Found, err error) {
	waiting := time.Now()
	outer := ctx // a draft outlives the hold
	hold, ctx, err := v.Budget.memory.Acquire(ctx, v.Namespace, r.memory)
	if err != nil {
		return f, err
	}
	defer hold.Release()
	defer func() { err = reclaimed(ctx, object, err) }()
	t.Stage(observe.Memory, waiting)
	share.Progress(ctx)

	var stored io.Writer // the interface must be nil, not hold a nil pointer
	var kept *Draft
	if o.Draft {
		if kept, err = v.newDraft(outer, object); err != nil {
			return f, err
		}
		defer func() {
			if f.Draft == nil { // not handed over: an error, a batch too large, or a panic
				kept.Drop()
			}
		}()
		stored = kept
	}
	began := time.Now()
	batch, err := r.fetcher(v.Fetcher).Open(ctx, object, stored)
	if errors.Is(err, fetcher.ErrTooLarge) {
		return tooLarge(object, err)
	}
	if err != nil {
		return f, err
	}
	defer batch.Close()

	limits := v.Limits
	limits.Workers, limits.Ordered = hold.Cores(runtime.GOMAXPROCS(0)), ordered
	if r.confined {
		limits.Workers, limits.MaxMemory = r.hashing(limits.Workers)
	}
	proof := share.NewReader(ctx, batch, r.guess, r.until, hold)
	defer proof.Close()
	f.Result, err = validator.Verify(ctx, object.Name, o.Sample.of(proof, r.guess), v.Configuration, limits)
	verified := time.Now()
	share.Progress(ctx)
	if f.Result, err = judged(f.Result, err); err != nil {
		return f, err
	}
	if err := batch.Finish(); err != nil {
		return f, err
	}
	finished := time.Now()
	t.Overlapped(observe.Download, began, finished, proof.Waited+finished.Sub(verified))
	t.Overlapped(observe.Verify, began, verified, verified.Sub(began)-proof.Waited)
	f.Info, err = batch.Info()
	t.Read(f.Info.StoredBytes, f.Info.Bytes)
	f.Took, f.Stale = finished.Sub(began), batch.Stale()
	if err == nil {
		f.Draft = kept
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
func tooLarge(object fetcher.Object, cause error) (Found, error) {
	evidence, err := incident.EvidenceOf("batch", map[string]any{"key": object.Key, "stored_bytes": object.Size})
	return Found{
		Result: rejection(fetcher.Reason(cause), cause), Info: fetcher.Info{StoredBytes: object.Size},
		Evidence: []incident.Evidence{evidence},
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
