package transparency

import (
	"context"
	"errors"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Kind is which of a namespace's two logs is meant; it is the name of its folder.
type Kind string

const (
	Verdicts Kind = "verdicts"
	Events   Kind = "events"
)

// ErrNoCheckpoint says that nothing was signed yet.
var ErrNoCheckpoint = errors.New("the verdict log has no checkpoint yet")

// ForkError says that the tree of the entries on record does not extend the tree that was signed.
// Nothing was signed. Retrying is of no use: somebody changed the audit store.
type ForkError struct {
	Namespace string
	Kind      Kind
	Signed    tlog.Tree // what was signed
	Detail    string
}

func (e *ForkError) Error() string { return e.Detail }

// Checkpoint is a signed statement of how large a log is and which root it has.
type Checkpoint struct {
	torchwood.Checkpoint
	Generation uint64 // from 1 on
	Note       []byte // the signed note, with whatever cosignatures it has
}

// Log is one of the logs of a namespace. It may be used by several goroutines and processes.
type Log struct {
	store     *auditstore.Store
	namespace string
	kind      Kind
}

// Open returns a log, which need not exist yet.
func Open(store *auditstore.Store, namespace string, kind Kind) *Log {
	return &Log{store, namespace, kind}
}

// First returns the epoch of entry 0 of the verdict log; ErrNoCheckpoint while it was not begun.
func (l *Log) First(ctx context.Context) (uint64, error) { panic("not built yet") }

// Newest returns the newest checkpoint that was signed, unchecked; ErrNoCheckpoint if there is
// none.
func (l *Log) Newest(ctx context.Context) (Checkpoint, error) { panic("not built yet") }

// Witnessed returns the newest checkpoint that PutWitnessed recorded, unchecked; ErrNoCheckpoint if
// there is none.
func (l *Log) Witnessed(ctx context.Context) (Checkpoint, error) { panic("not built yet") }

// PutWitnessed records a checkpoint with enough cosignatures, once per generation.
func (l *Log) PutWitnessed(ctx context.Context, c Checkpoint) error { panic("not built yet") }

// Publish mirrors a checkpoint, with its cosignatures, as the plain file "checkpoint".
func (l *Log) Publish(ctx context.Context, c Checkpoint) error { panic("not built yet") }

// Hashes reads hashes of a tree from the tiles, each proven to belong to the tree.
func (l *Log) Hashes(ctx context.Context, tree tlog.Tree) tlog.HashReader { panic("not built yet") }

// Consistency returns the proof that tree extends its first oldSize entries.
func (l *Log) Consistency(ctx context.Context, tree tlog.Tree, oldSize int64) (tlog.TreeProof, error) {
	panic("not built yet")
}

// Entry returns an entry of a tree, with the proof that it is in it.
func (l *Log) Entry(ctx context.Context, tree tlog.Tree, index int64) ([]byte, tlog.RecordProof, error) {
	panic("not built yet")
}

// File returns one of the plain files of the log by its C2SP path: "checkpoint", "tile/0/000".
// auditstore.ErrNotFound if there is none.
func (l *Log) File(ctx context.Context, path string) ([]byte, error) { panic("not built yet") }

// Advance appends what is due, at most limit entries, and signs the new tree. It returns the newest
// checkpoint, also if nothing was due. A *ForkError if the tree would not extend what was signed.
func (l *Log) Advance(ctx context.Context, signer note.Signer, limit int) (Checkpoint, error) {
	panic("not built yet")
}
