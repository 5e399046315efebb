package report

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/verdict"
)

// Head is the last epoch up to which every epoch is verified and continues the one before, and
// which comes before any contradiction that is open.
type Head struct {
	Namespace string `json:"namespace"`
	From      uint64 `json:"from"`
	Head      uint64 `json:"head"`   // 0: From is not verified
	Digest    string `json:"digest"` // after Head
	Newest    uint64 `json:"newest"` // the last epoch with a verdict
	// OverruledCount is how many epochs up to the newest have a later verdict that counts.
	OverruledCount uint64 `json:"overruled_count,omitempty"`
	// Unanchored: From is verified, and begins with another digest than that of the anchor.
	Unanchored bool `json:"unanchored,omitempty"`
	// HeldBackBy is the incident without which Head would be later; empty if there is none.
	HeldBackBy string `json:"held_back_by,omitempty"`
	// Incidents are those of the epochs from From on, or of none in particular, as in a Status.
	Incidents []incident.Open `json:"incidents,omitempty"`

	status Status
}

// Wrong reports whether anything is wrong with the epochs from From on, as Status.Wrong does.
func (h Head) Wrong(strict bool) bool { return h.status.Wrong(strict) }

// ReadHead returns the head of the epochs from from (0: the first with a verdict) on. There
// is none if they do not begin with the digest of the anchor.
func ReadHead(ctx context.Context, store *auditstore.Store, namespace string, anchor verdict.Anchor, from uint64) (Head, error) {
	s, err := ReadStatus(ctx, store, namespace, anchor, from, 0)
	if err != nil {
		return Head{}, err
	}
	h := Head{Namespace: namespace, From: s.From, Head: s.Head, Newest: s.To, OverruledCount: s.OverruledCount, Unanchored: s.Unanchored(),
		HeldBackBy: s.HeldBackBy, Incidents: s.Incidents, status: s}
	if h.Head == 0 {
		return h, nil
	}
	v, err := HeadVerdict(ctx, store, namespace, h.Head)
	h.Digest = v.Digest
	return h, err
}

// HeadVerdict returns the verdict that counts on an epoch that is verified, as the status or a
// HeadWalk says. These may have that from a seal, so the verdict must be the one that was sealed:
// people trust what this returns.
func HeadVerdict(ctx context.Context, store *auditstore.Store, namespace string, epoch uint64) (verdict.Verdict, error) {
	if o, err := store.Overruling(ctx, namespace, epoch); !errors.Is(err, auditstore.ErrNotFound) {
		return o.Verdict, err
	}
	v, hash, err := store.VerdictObject(ctx, namespace, epoch)
	if err != nil {
		return verdict.Verdict{}, err
	}
	seal, _, err := store.Seal(ctx, namespace, epoch/verdict.EpochsPerShard)
	sealed := err == nil
	if err != nil && !errors.Is(err, auditstore.ErrNotFound) {
		return verdict.Verdict{}, err
	}
	if v.Outcome != verdict.Verified || sealed && seal.Verdicts[epoch-seal.From] != hex.EncodeToString(hash[:]) {
		return verdict.Verdict{}, fmt.Errorf("the verdict on epoch %d of %s is not the one that was sealed: ktaudit seal --check says more", epoch, namespace)
	}
	return v, nil
}
