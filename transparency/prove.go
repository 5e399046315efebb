package transparency

import (
	"context"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/transparency/tlogproof"
)

// ErrNotCovered says that no signed checkpoint covers an epoch: the log is not that far, or begins
// later.
var ErrNotCovered = errors.New("not in the signed verdict log")

// Proof is the proof of an epoch's entry, as package tlogproof checks it.
type Proof struct {
	File []byte
	// Witnessed: the checkpoint is one that enough witnesses cosigned.
	Witnessed  bool
	Checkpoint Checkpoint
	Index      int64
}

// Prove makes the proof of an epoch's entry in the verdict log, under the newest checkpoint that
// was witnessed, or else, as long as that does not cover the epoch, under the newest one. The
// checkpoint's signatures are left to whoever checks. ErrNotCovered, or ErrNoCheckpoint.
func (l *Log) Prove(ctx context.Context, epoch uint64) (Proof, error) {
	first, err := l.First(ctx)
	if err != nil {
		return Proof{}, err
	}
	if epoch < first {
		return Proof{}, fmt.Errorf("epoch %d of %s: %w, which begins with epoch %d", epoch, l.namespace, ErrNotCovered, first)
	}
	p := Proof{Index: int64(epoch - first), Witnessed: true}
	p.Checkpoint, err = l.Witnessed(ctx)
	if errors.Is(err, ErrNoCheckpoint) || err == nil && p.Index >= p.Checkpoint.N {
		p.Witnessed = false
		p.Checkpoint, err = l.Newest(ctx)
	}
	if err != nil {
		return Proof{}, err
	}
	if p.Index >= p.Checkpoint.N {
		return Proof{}, fmt.Errorf("epoch %d of %s: %w, which goes up to epoch %d", epoch, l.namespace, ErrNotCovered, first+uint64(p.Checkpoint.N)-1)
	}
	entry, proof, err := l.Entry(ctx, p.Checkpoint.Tree, p.Index)
	if err != nil {
		return Proof{}, err
	}
	p.File = tlogproof.Format(entry, p.Index, proof, p.Checkpoint.Note)
	return p, nil
}
