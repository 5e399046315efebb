package crosscheck

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/signature"
)

// ask asks for the signed digest of an epoch and checks it. Only one that is signed with a pinned
// key comes without an error.
func (r *round) ask(ctx context.Context, epoch uint64) (statement, error) {
	if err := r.next(ctx); err != nil {
		return statement{}, err
	}
	_, s, err := r.Client.Audit(ctx, r.RemoteNamespace, epoch)
	var key []byte
	if err == nil {
		key, err = r.Keys.Signer(s)
	}
	switch {
	case ctx.Err() != nil:
		return statement{}, ctx.Err()
	case errors.Is(err, client.ErrNotFound):
		r.answer()
		r.results[absent]++
		return statement{}, errAbsent
	case errors.Is(err, signature.ErrUnknownKey):
		r.answer()
		r.results[unknownKey]++
		if r.unknown == 0 || epoch < r.unknown {
			r.unknown, r.keyError = epoch, err
		}
		return statement{}, err
	case err != nil:
		return statement{}, r.fail(err)
	}
	r.answer()
	r.trusted++
	r.signed = r.now
	return r.statement(s, key)
}

// statement is a signed digest of the auditor's. What else was in its answer is not signed, and not
// kept: so nobody fills the audit store with it.
func (r *round) statement(signed signature.SignedDigest, key []byte) (statement, error) {
	raw, err := json.Marshal(signed)
	s := statement{SignedDigest: signed, raw: raw, by: r.Client.URL(), key: hex.EncodeToString(key)}
	if r.RemoteNamespace != r.Namespace {
		s.alias = r.RemoteNamespace
	}
	return s, err
}

// next waits for the turn of one request.
func (r *round) next(ctx context.Context) error {
	if r.requests <= 0 {
		return errNoneLeft
	}
	r.requests--
	return r.limiter.Wait(ctx)
}

func (r *round) answer() {
	r.answers++
	r.faults, r.answered = 0, r.now
}

// fail notes that there was no answer that can be read, and returns a fault if it is of no use to
// go on.
func (r *round) fail(err error) error {
	r.results[failed]++
	r.faults++
	r.lastFault = err.Error()
	unreadable := errors.Is(err, client.ErrMalformed) || errors.Is(err, signature.ErrMalformed) ||
		errors.Is(err, signature.ErrMismatch) || errors.Is(err, signature.ErrInvalid)
	if unreadable && r.faults < maxFaults {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return &fault{err}
}

// errUnreadable: an answer is none, and the next may be.
var errUnreadable = errors.New("unreadable")

// record keeps a signed digest. Another one for the same epoch that is on record, and for another
// digest, is a contradiction of the auditor's, if both are its own.
func (r *round) record(ctx context.Context, s statement) error {
	recorded, err := r.folder().Put(ctx, s.raw, r.path(s.Epoch)...)
	if err != nil || bytes.Equal(recorded, s.raw) {
		return err
	}
	before, err := r.read(recorded, s.Epoch)
	if errors.Is(err, signature.ErrUnknownKey) || err == nil && before.Digest == s.Digest {
		return nil // under a key that is not pinned any more it is no statement of the auditor's
	}
	if err != nil {
		return err
	}
	r.results[contradiction]++
	return r.raiseContradiction(ctx, before, s.evidence())
}

// read reads a signed digest on record.
func (r *round) read(recorded []byte, epoch uint64) (statement, error) {
	parsed, err := signature.Parse(recorded)
	if err == nil {
		err = signature.Check(parsed, r.RemoteNamespace, epoch, parsed.Digest)
	}
	var key []byte
	if err == nil {
		key, err = r.Keys.Signer(parsed)
	}
	if err != nil {
		return statement{}, fmt.Errorf("signed digest of epoch %d by %s on record: %w: %w", epoch, r.Client.URL(), auditstore.ErrCorrupt, err)
	}
	return r.statement(parsed, key)
}

// recorded reads the signed digest that is on record of an epoch.
func (r *round) recorded(ctx context.Context, epoch uint64) (statement, error) {
	data, err := r.folder().Get(ctx, r.path(epoch)...)
	if err != nil {
		return statement{}, err
	}
	return r.read(data, epoch)
}
