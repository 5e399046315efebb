package witness

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/transparency/tlogproof"
	"github.com/ktaudit/ktaudit/transparency/witnesses"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// maxSize is the largest tree that is cosigned: tlog does not return from much larger ones.
const maxSize = 1 << 60

// What a request is refused for, each by the status that C2SP's tlog-witness gives it. Beside them
// there is a *ConflictError. Every other error is a fault of the witness or of its audit store.
var (
	ErrMalformed     = errors.New("not an add-checkpoint request of C2SP's tlog-witness") // 400
	ErrNotSigned     = errors.New("not signed by a key that is known for the log")        // 403
	ErrUnknownOrigin = errors.New("this log is not witnessed here")                       // 404
	ErrInconsistent  = errors.New("the proof does not lead from the tree that was cosigned last to this one")
)

// ConflictError says that the witness has cosigned another tree than the request takes for its
// last; or one of the same size with another root.
type ConflictError struct {
	Size int64
	// Forked says that the log signed two trees of this size.
	Forked bool
}

func (e *ConflictError) Error() string {
	if e.Forked {
		return fmt.Sprintf("the log signed two trees of %d entries", e.Size)
	}
	return fmt.Sprintf("the last tree that was cosigned has %d entries", e.Size)
}

// Log is a log to witness.
type Log struct {
	Key    string // C2SP verifier key
	Origin string // of its checkpoints; by default the name of the key
}

// Witness cosigns checkpoints. It may be used by several goroutines, and there may be any number of
// it over one audit store.
type Witness struct {
	files  auditstore.Files
	signer tlogproof.Cosigner
	logs   map[string]*log // by origin
	now    func() time.Time
}

// log is a log that is witnessed.
type log struct {
	origin string
	folder string
	keys   []note.Verifier

	turn  chan struct{} // holds one: requests of a log wait for each other, and for no other log's
	mu    sync.Mutex
	known state // the newest that this process saw
}

// storeName stands where the audit store has a namespace, and cannot be that of a log.
const storeName = "_ktaudit"

// New returns a witness with a name and a key, which keeps what it has seen in an audit store. A
// log may have several keys.
func New(store *auditstore.Store, name string, key ed25519.PrivateKey, logs []Log) (*Witness, error) {
	signer, err := tlogproof.NewCosigner(name, key)
	if err != nil {
		return nil, fmt.Errorf("witness %q: %w", name, err)
	}
	w := &Witness{files: store.Files(storeName, "witness"), signer: signer, logs: map[string]*log{}, now: time.Now}
	for _, l := range logs {
		v, err := note.NewVerifier(l.Key)
		if err != nil {
			return nil, fmt.Errorf("log %.200q: %w", l.Key, err)
		}
		origin := l.Origin
		if origin == "" {
			origin = v.Name()
		}
		if w.logs[origin] == nil {
			w.logs[origin] = &log{origin: origin, folder: folderOf(origin), turn: make(chan struct{}, 1)}
		}
		w.logs[origin].keys = append(w.logs[origin].keys, v)
	}
	return w, nil
}

// Key is the C2SP verifier key of the witness, for those who ask it and those who trust it.
func (w *Witness) Key() string { return w.signer.Key() }

// Origins are the logs that are witnessed, in order.
func (w *Witness) Origins() []string {
	var all []string
	for origin := range w.logs {
		all = append(all, origin)
	}
	slices.Sort(all)
	return all
}

// request is what is asked of a witness.
type request struct {
	old        int64
	proof      tlog.TreeProof
	checkpoint torchwood.Checkpoint
	text, note []byte
}

// Add cosigns a checkpoint, given the body of an add-checkpoint request, and returns the signature
// line.
func (w *Witness) Add(ctx context.Context, body []byte) ([]byte, error) {
	l, r, err := w.read(body)
	if err != nil {
		return nil, err
	}
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	last, err := w.last(ctx, l)
	if err != nil {
		return nil, err
	}
	if err := r.follows(last); err != nil {
		return nil, err
	}
	if r.checkpoint.N > last.Size {
		if last, err = w.record(ctx, l, last, r); err != nil {
			return nil, err
		}
	}
	return w.cosign(ctx, l, last, r)
}

// read checks everything of a request that does not depend on what was cosigned before.
func (w *Witness) read(body []byte) (*log, request, error) {
	asked, err := witnesses.ParseRequest(body)
	if err != nil {
		return nil, request{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	r := request{old: asked.Old, proof: asked.Proof, note: asked.Checkpoint}
	origin, _, _ := strings.Cut(string(r.note), "\n")
	l := w.logs[origin]
	if l == nil {
		return nil, r, fmt.Errorf("%w: %.200q", ErrUnknownOrigin, origin)
	}
	signed, err := note.Open(r.note, note.VerifierList(l.keys...))
	switch err.(type) {
	case nil:
	case *note.UnverifiedNoteError, *note.InvalidSignatureError:
		return nil, r, fmt.Errorf("%w: %s: %w", ErrNotSigned, origin, err)
	default:
		return nil, r, fmt.Errorf("%w: %s: %w", ErrMalformed, origin, err)
	}
	r.text = []byte(signed.Text)
	r.checkpoint, err = tlogproof.ParseCheckpoint(signed.Text)
	switch {
	case err != nil:
		return nil, r, fmt.Errorf("%w: checkpoint of %s: %w", ErrMalformed, origin, err)
	case r.checkpoint.N > maxSize:
		return nil, r, fmt.Errorf("%w: %s: a tree of %d entries", ErrMalformed, origin, r.checkpoint.N)
	case r.old > r.checkpoint.N:
		return nil, r, fmt.Errorf("%w: %s: a tree of %d entries that extends one of %d", ErrMalformed, origin, r.checkpoint.N, r.old)
	}
	return l, r, nil
}

// emptyRoot is the root of a tree without entries.
var emptyRoot = func() tlog.Hash { h, _ := tlog.TreeHash(0, nil); return h }()

// follows returns nil if a request knows the last tree that was cosigned, and its own extends it.
func (r request) follows(last state) error {
	if r.old != last.Size {
		return &ConflictError{Size: last.Size}
	}
	size, root := r.checkpoint.N, r.checkpoint.Hash
	switch {
	case size == last.Size && root != last.Root:
		return &ConflictError{Size: last.Size, Forked: true}
	case size == last.Size || last.Size == 0:
		if len(r.proof) != 0 {
			return fmt.Errorf("%w: a proof of what needs none", ErrInconsistent)
		}
		return nil
	}
	if err := tlog.CheckTree(r.proof, size, root, last.Size, last.Root); err != nil {
		return fmt.Errorf("%w: of %d and of %d entries: %w", ErrInconsistent, last.Size, size, err)
	}
	return nil
}
