package statement

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/transparency/tlogproof"
	"github.com/ktaudit/ktaudit/verdict"
)

// ErrNone says that nothing can be stated of an epoch: it is not verified, or not chained, or
// something is open on it. The error that it is in says which.
var ErrNone = errors.New("nothing is stated")

// Epoch is what is to be stated.
type Epoch struct {
	Namespace string
	Epoch     uint64
	Origin    string // of the log in statements; by default the namespace
	Tier      tlogproof.Tier
}

// Make returns the signed statement of an epoch. The signer is that of the tier.
//
// That it is verified is as of the time when the verdict that counts was finished, so that the
// bytes are always the same; that it is chained is as of the last walk of the log's names.
func Make(ctx context.Context, store *auditstore.Store, e Epoch, signer tlogproof.StatementSigner) ([]byte, error) {
	digest, at, err := find(ctx, store, e)
	if err != nil {
		return nil, fmt.Errorf("epoch %d of %s: %w", e.Epoch, e.Namespace, err)
	}
	return signer.Sign(tlogproof.Statement{Origin: cmp.Or(e.Origin, e.Namespace), Epoch: e.Epoch, Digest: digest}, at)
}

// Of returns the signed statement on a verified verdict, given that it is the one that counts and
// that nothing is open on the epoch. The origin is by default the namespace.
func Of(v verdict.Verdict, origin string, signer tlogproof.StatementSigner) ([]byte, error) {
	if v.Outcome != verdict.Verified {
		return nil, fmt.Errorf("epoch %d of %s: %w: it was rejected: %s", v.Epoch, v.Namespace, ErrNone, v.Reason)
	}
	return signer.Sign(tlogproof.Statement{Origin: cmp.Or(origin, v.Namespace), Epoch: v.Epoch, Digest: v.Digest}, v.FinishedAt)
}

// find returns what is on record, and as of when.
func find(ctx context.Context, store *auditstore.Store, e Epoch) (digest string, at time.Time, err error) {
	switch e.Tier {
	case tlogproof.TierVerified:
		digest, at, err = verified(ctx, store, e)
	case tlogproof.TierChained:
		digest, at, err = chained(ctx, store, e)
	default:
		err = fmt.Errorf("tier %q: nothing is stated but %s and %s", e.Tier, tlogproof.TierVerified, tlogproof.TierChained)
	}
	if err != nil {
		return "", time.Time{}, err
	}
	list, err := incident.ReadList(ctx, store, e.Namespace)
	if err != nil {
		return "", time.Time{}, err
	}
	for _, o := range list.Open {
		// What is about no epoch in particular is about all of them.
		if about := o.To == 0 || o.From <= e.Epoch && e.Epoch <= o.To; about && o.Wrong() && !o.Acknowledged {
			return "", time.Time{}, fmt.Errorf("%w: the incident %s is open", ErrNone, o.Incident)
		}
	}
	return digest, at, nil
}

func verified(ctx context.Context, store *auditstore.Store, e Epoch) (string, time.Time, error) {
	v, err := store.Verdict(ctx, e.Namespace, e.Epoch)
	if errors.Is(err, auditstore.ErrNotFound) {
		return "", time.Time{}, fmt.Errorf("%w: it has no verdict", ErrNone)
	}
	if err != nil {
		return "", time.Time{}, err
	}
	overruled, err := report.ReadOverruled(ctx, store, e.Namespace)
	if err != nil {
		return "", time.Time{}, err
	}
	v = overruled.Newest(v)
	if v.Outcome != verdict.Verified {
		return "", time.Time{}, fmt.Errorf("%w: it was rejected: %s", ErrNone, v.Reason)
	}
	return v.Digest, v.FinishedAt, nil
}

func chained(ctx context.Context, store *auditstore.Store, e Epoch) (string, time.Time, error) {
	chain, err := store.Chain(ctx, e.Namespace)
	if err != nil {
		return "", time.Time{}, err
	}
	coverage := chain.Coverage(0, 0)
	// A name that nothing continues and that continues nothing is no chain.
	isIn := func(r verdict.ChainRange) bool { return r.From <= e.Epoch && e.Epoch <= r.To && r.From < r.To }
	if !slices.ContainsFunc(coverage.Chained, isIn) {
		return "", time.Time{}, fmt.Errorf("%w: its name is in no chain on record", ErrNone)
	}
	entry := chain.Find(e.Epoch / verdict.EpochsPerShard)
	if entry.Generation == 0 {
		return "", time.Time{}, fmt.Errorf("%w: its name is not on record yet", ErrNone)
	}
	piece, hash, err := store.ChainPiece(ctx, e.Namespace, entry.Shard, entry.Generation)
	if err != nil {
		return "", time.Time{}, err
	}
	for _, r := range piece.Runs {
		if hash == entry.SHA256 && r.From <= e.Epoch && e.Epoch <= r.To {
			return r.Digest(int(e.Epoch - r.From)), chain.WalkedAt, nil
		}
	}
	return "", time.Time{}, fmt.Errorf("shard %d of the names of %s is not what the chain on record says: %w", entry.Shard, e.Namespace, auditstore.ErrCorrupt)
}
