package page

import (
	"context"
	"errors"

	"github.com/ktaudit/ktaudit/page/documents"
	"github.com/ktaudit/ktaudit/page/summary"

	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/verdict"
)

// proofReads is what a proof costs at most: the checkpoint, the entry and tiles.
const proofReads = 30

// proof is the proof that an epoch's verdict is in the verdict log, under the newest checkpoint
// that witnesses have cosigned if that covers it.
func (p *Page) proof(ctx context.Context, l *logState, v *summary.Record, free bool) (*documents.Document, error) {
	if v.Index == nil {
		return nil, ErrNoDocument
	}
	if !free {
		if err := p.spend(p.reads, proofReads); err != nil {
			return nil, err
		}
	}
	proof, err := transparency.Open(p.c.Store, l.log.Name, transparency.Verdicts).Prove(ctx, v.Epoch)
	if errors.Is(err, transparency.ErrNoCheckpoint) || errors.Is(err, transparency.ErrNotCovered) {
		err = ErrNoDocument
	}
	if err != nil {
		return nil, err
	}
	return documents.New("proof", documents.TypeText, documents.NotAtAll, proof.File), nil
}

// statement is the three-line statement of the digest of a verified epoch, signed for its tier.
func (p *Page) statement(l *logState, v *summary.Record) (*documents.Document, error) {
	if p.c.Statement == nil || v.Verdict == nil || v.Verdict.Outcome != verdict.Verified || v.State() == summary.Wrong {
		return nil, ErrNoDocument
	}
	data, err := p.c.Statement(l.log.Name, *v.Verdict)
	if err == nil && data == nil {
		err = ErrNoDocument
	}
	if err != nil {
		return nil, err
	}
	return documents.New("statement", documents.TypeText, documents.NotAtAll, data), nil
}
