package auditor

import (
	"context"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/verdict"
)

// Signed returns the signed digest of an epoch in JSON, as it was given; ErrNotSigned if there is
// none.
func (a *Auditor) Signed(ctx context.Context, epoch uint64) ([]byte, error) {
	recorded, err := a.ledger.signed(ctx, epoch)
	if errors.Is(err, errNotYet) {
		return nil, fmt.Errorf("epoch %d of %s: %w", epoch, a.c.Namespace, ErrNotSigned)
	}
	if err != nil {
		return nil, err
	}
	_, err = a.parse(epoch, recorded)
	return recorded, err
}

// Last returns the newest epoch that is signed; false if none is.
func (a *Auditor) Last(ctx context.Context) (epoch uint64, ok bool, err error) {
	return a.ledger.last(ctx)
}

// Keys returns the keys, those that signed before and those that will sign later too, by their
// times.
func (a *Auditor) Keys() []Key { return a.keys.keys }

// Start returns the first epoch that is signed and its digest; false while that is not decided.
func (a *Auditor) Start(ctx context.Context) (root verdict.Anchor, ok bool, err error) {
	begun, err := a.ledger.start(ctx)
	if errors.Is(err, errNotYet) {
		return verdict.Anchor{}, false, nil
	}
	return begun.Anchor, err == nil, err
}
