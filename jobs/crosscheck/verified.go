package crosscheck

import (
	"context"
	"errors"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/signature"
)

// lastVerified holds what the auditor says that it verified against what it signed, and against
// what it said before.
func (r *round) lastVerified(ctx context.Context, newest uint64) error {
	last, err := r.askVerified(ctx)
	if errors.Is(err, errAbsent) || errors.Is(err, errUnreadable) {
		return nil
	}
	if err != nil {
		return err
	}
	if last.Epoch < r.verified {
		r.backward++
	} else {
		r.verified, r.backward = last.Epoch, 0
	}
	if last.Epoch > newest {
		return nil // it is further than the audit here
	}
	switch err := r.check(ctx, last.Epoch); {
	case errors.Is(err, errAbsent), errors.Is(err, signature.ErrUnknownKey), isPassedOver(err):
		return nil
	case err != nil:
		return err
	}
	r.highest = max(r.highest, last.Epoch)
	signed, err := r.recorded(ctx, last.Epoch)
	if errors.Is(err, signature.ErrUnknownKey) {
		return nil
	}
	if err != nil || signed.digest() == last.EndHash {
		return err
	}
	again, err := r.askVerified(ctx) // it is not signed: said twice, it is no slip
	if err != nil || again.Epoch != last.Epoch || again.EndHash != last.EndHash {
		return nil
	}
	r.results[contradiction]++
	return r.raiseContradiction(ctx, signed, incident.Statement{
		By: r.Client.URL(), Namespace: signed.alias, Digest: last.EndHash, Answer: "last-verified-epoch",
	})
}

func (r *round) askVerified(ctx context.Context) (client.LastVerified, error) {
	if err := r.next(ctx); err != nil {
		return client.LastVerified{}, err
	}
	last, err := r.Client.LastVerified(ctx, r.RemoteNamespace)
	switch {
	case ctx.Err() != nil:
		return last, ctx.Err()
	case errors.Is(err, client.ErrNotFound):
		r.answer()
		return last, errAbsent
	case err != nil:
		return last, r.fail(err)
	}
	r.answer()
	return last, nil
}
