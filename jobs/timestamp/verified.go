package timestamp

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// Verified signs each epoch of a log once it is verified, in order. All fields must be set but for
// those that say otherwise. Any number of replicas may do so at the same time.
type Verified struct {
	Namespace string
	Store     *auditstore.Store
	Auditor   *auditor.Auditor // of the mode Verified
	// Root is where signing begins. Zero: where the first post begins it.
	Root verdict.Anchor
	// Poll is how long to wait for the next verdict.
	Poll time.Duration
	// Disabled reports whether nothing is to be signed any more. Nil: never.
	Disabled func() bool
	// Signed is called for each epoch that is signed. It may be nil.
	Signed func(epoch uint64)
	Log    zerolog.Logger
}

// Run signs until ctx ends, or the namespace is disabled, which is for ever. A rejected epoch holds
// back all later ones until it is overruled.
func (v Verified) Run(ctx context.Context) error {
	said := "" // what held it back last
	for next := uint64(0); ; {
		if v.Disabled != nil && v.Disabled() {
			return nil
		}
		var err error
		if next == 0 {
			next, err = v.first(ctx)
		}
		if next > 0 && err == nil {
			if err = v.sign(ctx, next); err == nil {
				next, said = next+1, ""
				continue
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !errors.Is(err, auditstore.ErrNotFound) && err.Error() != said {
			said = err.Error()
			v.Log.Error().Err(err).Uint64("epoch", next).Msg("an epoch is not signed, and none after it: it is tried again")
		}
		if wait.For(ctx, v.Poll) != nil {
			return nil
		}
	}
}

// first returns the first epoch that is not signed; 0 while nothing says where signing begins.
func (v Verified) first(ctx context.Context) (uint64, error) {
	last, signed, err := v.Auditor.Last(ctx)
	if err != nil || !signed {
		return v.Root.Epoch, err
	}
	return last + 1, nil
}

// sign signs an epoch; auditstore.ErrNotFound while it has no verdict.
func (v Verified) sign(ctx context.Context, epoch uint64) error {
	judged, err := v.Store.NewestVerdict(ctx, v.Namespace, epoch)
	if err != nil {
		return err
	}
	if judged.Outcome != verdict.Verified {
		return fmt.Errorf("epoch %d was rejected: %s", epoch, judged.Reason)
	}
	var digest [32]byte
	if n, err := hex.Decode(digest[:], []byte(judged.Digest)); err != nil || n != len(digest) {
		return fmt.Errorf("verdict on epoch %d: digest %.80q: %w", epoch, judged.Digest, auditstore.ErrCorrupt)
	}
	if _, err := v.Auditor.Sign(ctx, epoch, digest); err != nil {
		return err
	}
	if v.Signed != nil {
		v.Signed(epoch)
	}
	return nil
}
