package transparency

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/transparency/tlogproof"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Kind is which of a namespace's two logs is meant; it is the name of its folder.
type Kind string

const (
	Verdicts Kind = "verdicts"
	Events   Kind = "events"
)

var (
	// ErrNoCheckpoint says that nothing was signed yet, or that the verdict log was not begun.
	ErrNoCheckpoint = errors.New("the verdict log has no checkpoint yet: schedulers make one, or `ktaudit log append`")

	// ErrNotOurs says that a checkpoint is not signed by a key that was given, or of another
	// origin. If the key was changed, the former one must be given, too; if not, somebody changed
	// the audit store. Nothing is signed until a person has looked.
	ErrNotOurs = errors.New("the checkpoint is not signed by this auditor's key")

	// ErrInconsistent says that tiles do not belong to the tree that they were read for. To retry
	// is of no use.
	ErrInconsistent = errors.New("the tiles on record are not those of the tree")
)

// ForkError says that the tree of the entries on record does not extend the tree that was signed.
// Nothing was signed. Retrying is of no use: somebody changed the audit store.
type ForkError struct {
	Namespace string
	Kind      Kind
	Signed    tlog.Tree // what was signed
	Detail    string
}

func (e *ForkError) Error() string {
	return fmt.Sprintf("the log of %s of %s, signed up to size %d: %s", e.Kind, e.Namespace, e.Signed.N, e.Detail)
}

// Checkpoint is a signed statement of how large a log is and which root it has.
type Checkpoint struct {
	torchwood.Checkpoint
	Generation uint64 // from 1 on
	Note       []byte // the signed note, with whatever cosignatures it has
}

// Log is one of the logs of a namespace. It may be used by several goroutines and processes.
// Whoever appends keeps one Log, for it remembers what it has seen, and a store that goes back
// behind that is found out.
type Log struct {
	store     *auditstore.Store
	namespace string
	kind      Kind
	files     auditstore.Files // of both logs

	mu    sync.Mutex
	first *uint64    // of the verdict log
	seen  Checkpoint // the newest that Advance has seen
}

// Open returns a log, which need not exist yet.
func Open(store *auditstore.Store, namespace string, kind Kind) *Log {
	return &Log{store: store, namespace: namespace, kind: kind, files: store.Files(namespace, folder)}
}

// folder holds both logs in the namespace's folder.
const folder = "tlog"

// Origin is the origin of a log, and the name of the keys that sign it, given verdict_log.origin.
func Origin(base, namespace string, kind Kind) string {
	origin := base + "/" + namespace
	if kind == Events {
		origin += "/" + string(Events)
	}
	return origin
}

// Own is the policy that a log's checkpoints must satisfy: its origin, and one of the keys that the
// auditor has or had, whose name is the origin.
func Own(origin string, keys ...note.Verifier) torchwood.Policy {
	var signed []torchwood.Policy
	for _, k := range keys {
		signed = append(signed, torchwood.SingleVerifierPolicy(k))
	}
	return torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(origin), torchwood.ThresholdPolicy(min(1, len(signed)), signed...))
}

// Kind says which log it is.
func (l *Log) Kind() Kind { return l.kind }

// Namespace says whose log it is.
func (l *Log) Namespace() string { return l.namespace }

// maxNoteBytes caps a checkpoint with its cosignatures.
const maxNoteBytes = 64 << 10

// The folders of a log beside its tiles. Names count down from the newest generation.
const (
	plans       = "plans"
	checkpoints = "checkpoints"
	witnessed   = "witnessed"
)

// mirror is the newest checkpoint with its cosignatures, where C2SP has it.
const mirror = "checkpoint"

func (l *Log) name(path string) string { return string(l.kind) + "/" + path }

// Newest returns the newest checkpoint that was signed, unchecked; ErrNoCheckpoint if there is
// none.
func (l *Log) Newest(ctx context.Context) (Checkpoint, error) { return l.newest(ctx, checkpoints) }

// Witnessed returns the newest checkpoint that PutWitnessed recorded, unchecked; ErrNoCheckpoint if
// there is none.
func (l *Log) Witnessed(ctx context.Context) (Checkpoint, error) { return l.newest(ctx, witnessed) }

func (l *Log) newest(ctx context.Context, folder string) (Checkpoint, error) {
	generation, data, err := l.files.ReadNewest(ctx, l.name(folder), "", maxNoteBytes)
	if err != nil {
		return Checkpoint{}, err
	}
	if generation == 0 {
		return Checkpoint{}, fmt.Errorf("%s of %s: %w", l.kind, l.namespace, ErrNoCheckpoint)
	}
	return l.checkpointAt(data, folder, generation)
}

// checkpointName is the name of a generation in the folder checkpoints or witnessed.
func (l *Log) checkpointName(folder string, generation uint64) string {
	return l.name(folder) + "/" + auditstore.GenerationName(generation)
}

func (l *Log) checkpoint(ctx context.Context, folder string, generation uint64) (Checkpoint, error) {
	data, err := l.files.Get(ctx, l.checkpointName(folder, generation), maxNoteBytes)
	if err != nil {
		return Checkpoint{}, err
	}
	return l.checkpointAt(data, folder, generation)
}

// checkpointAt reads the checkpoint that was found as a generation.
func (l *Log) checkpointAt(data []byte, folder string, generation uint64) (Checkpoint, error) {
	c, err := ParseCheckpoint(data)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%s of %s: %w: %w", l.checkpointName(folder, generation), l.namespace, auditstore.ErrCorrupt, err)
	}
	c.Generation = generation
	return c, nil
}

// ParseCheckpoint reads a signed note without looking at its signatures.
func ParseCheckpoint(data []byte) (Checkpoint, error) {
	n, err := note.Open(data, note.VerifierList())
	if unverified, ok := errors.AsType[*note.UnverifiedNoteError](err); ok {
		n, err = unverified.Note, nil
	}
	if err != nil {
		return Checkpoint{}, err
	}
	c, err := tlogproof.ParseCheckpoint(n.Text)
	if err == nil && c.N > verdict.MaxEpoch {
		err = fmt.Errorf("a tree of %d entries", c.N)
	}
	return Checkpoint{Checkpoint: c, Note: data}, err
}

// PutWitnessed records a checkpoint with enough cosignatures, once per generation: one that is on
// record stays. Nothing happens if there is a newer one.
func (l *Log) PutWitnessed(ctx context.Context, c Checkpoint) error {
	newest, err := l.files.Newest(ctx, l.name(witnessed))
	if err != nil || c.Generation == 0 || newest > c.Generation {
		return err
	}
	name := l.checkpointName(witnessed, c.Generation)
	data, err := l.files.Put(ctx, name, c.Note, maxNoteBytes)
	if err != nil {
		return err
	}
	if on, err := ParseCheckpoint(data); err != nil || on.Tree != c.Tree {
		return fmt.Errorf("%s of %s: %w", name, l.namespace, auditstore.ErrDiffers)
	}
	l.files.Sweep(ctx, l.name(witnessed), c.Generation)
	return nil
}

// RenewWitnessed replaces the cosignatures of a checkpoint that PutWitnessed recorded, where they
// are not those that it needs now. They may be replaced, since the checkpoint itself stays as it is
// and witnesses give them again. Of two that do so at once the later one wins: both have enough.
func (l *Log) RenewWitnessed(ctx context.Context, c Checkpoint) error {
	return l.files.Replace(ctx, l.checkpointName(witnessed, c.Generation), c.Note)
}

// Publish mirrors a checkpoint, with its cosignatures, as the plain file "checkpoint", unless there
// is one of a larger tree. It costs one read if that is done already.
//
// Of two writers the one with the older checkpoint may come last. Nobody relies on the mirror, and
// the next Publish puts it right.
func (l *Log) Publish(ctx context.Context, c Checkpoint) error {
	data, err := l.files.Get(ctx, l.name(mirror), maxNoteBytes)
	if err == nil {
		on, err := ParseCheckpoint(data)
		if err == nil && on.Origin == c.Origin && on.N > c.N || string(data) == string(c.Note) {
			return nil
		}
	}
	if err != nil && !auditstore.IsLost(err) {
		return err
	}
	return l.files.Replace(ctx, l.name(mirror), c.Note)
}
