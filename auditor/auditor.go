package auditor

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
)

// MaxSkew is how far a clock may be off before it signs nothing.
const MaxSkew = time.Minute

// Config is what an Auditor needs. All fields must be set but for those that say otherwise.
type Config struct {
	Namespace   string
	Store       *auditstore.Store
	Keys        []Key
	Ciphersuite uint32
	// Root is the first epoch that is signed and its digest. Zero: the first post says it.
	Root verdict.Anchor
	// Verified signs an epoch only once it has a verdict that it was verified. Otherwise signing
	// means that the digest was seen.
	Verified bool
	// Conflict puts on record that a log posted two digests for an epoch. It must be durable when
	// it returns: the log is told only after that.
	Conflict func(ctx context.Context, c Conflict) error
	// Now is the clock. Nil is time.Now.
	Now func() time.Time
}

// Conflict is another digest for an epoch than the one that is signed.
type Conflict struct {
	Epoch  uint64
	Posted string // the other digest, 64 hexadecimal digits
	Signed []byte // the signed digest on record, in JSON
	By     string // who posted, as said by WithPoster
}

// Auditor signs the digests of one log. It may be used by several goroutines.
type Auditor struct {
	c      Config
	keys   keyring
	ledger ledger
	clock  func(ctx context.Context) (time.Time, error)
}

// New returns an error that names what is wrong with its configuration.
func New(c Config) (*Auditor, error) {
	keys, err := newKeyring(c.Keys)
	err = errors.Join(err, verdict.CheckNamespace(c.Namespace))
	switch {
	case err != nil:
	case c.Store == nil:
		err = errors.New("no audit store")
	case c.Conflict == nil:
		err = errors.New("nothing that records conflicts")
	case c.Ciphersuite != signature.CiphersuiteProtobuf && c.Ciphersuite != signature.CiphersuiteBincode:
		err = fmt.Errorf("unknown ciphersuite %d: want 1 or 2", c.Ciphersuite)
	case !c.Root.IsZero():
		err = verdict.CheckDigest(c.Root.Digest)
	}
	if err != nil {
		return nil, fmt.Errorf("auditor of %q: %w", c.Namespace, err)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	a := &Auditor{c: c, keys: keys, ledger: newStoreLedger(c.Store, c.Namespace)}
	a.clock = (&storeClock{own: c.Now, store: func(ctx context.Context) (time.Time, error) {
		return c.Store.Now(ctx, c.Namespace)
	}}).now
	return a, nil
}

// Sign returns the signed digest of an epoch in JSON, as it is on record: signed now, or before. To
// repeat it gives the same bytes.
//
// Errors: ConflictError, GapError, ReusedError and RootError say that a log's post is wrong,
// ErrNotVerified that it is too early, ErrClock that the clock here is. Any other is a fault, after
// which the post may have been signed or not: post it again.
func (a *Auditor) Sign(ctx context.Context, epoch uint64, digest [32]byte) ([]byte, error) {
	recorded, err := a.sign(ctx, epoch, digest)
	if err != nil {
		return nil, fmt.Errorf("epoch %d of %s: %w", epoch, a.c.Namespace, err)
	}
	return recorded, nil
}

func (a *Auditor) sign(ctx context.Context, epoch uint64, posted [32]byte) ([]byte, error) {
	if err := verdict.CheckKey(a.c.Namespace, epoch); err != nil {
		return nil, err
	}
	recorded, err := a.ledger.signed(ctx, epoch)
	if err == nil {
		return a.answer(ctx, epoch, posted, recorded)
	}
	if !errors.Is(err, errNotYet) {
		return nil, err
	}
	digest, err := a.signable(ctx, epoch, posted)
	if err != nil {
		return nil, err
	}
	earliest, err := a.follows(ctx, epoch, digest)
	if err != nil {
		return nil, err
	}
	if err := a.checkReuse(ctx, epoch, digest); err != nil {
		return nil, err
	}
	data, err := a.make(ctx, epoch, digest, earliest)
	if err != nil {
		return nil, err
	}
	// A crash before this line leaves nothing. One after it leaves a claim, which counts for
	// nothing while no signed digest bears it out.
	if err := a.ledger.claim(ctx, hex.EncodeToString(digest[:]), epoch); err != nil {
		return nil, err
	}
	// This is the commit. Of several replicas one creates the object and all answer with its bytes,
	// so that an epoch has one signed digest whoever is asked. A crash before it leaves the epoch
	// as it was; after it, or if its answer is lost, the next post finds the object and answers
	// with it.
	//
	// No digest is signed for two epochs. Epochs are signed in order: whoever signs N has read the
	// signed digest of N-1, so all epochs before N are signed and will not change. The claim of
	// each stood before its signature did, and so checkReuse, which came after that read, saw it.
	//
	// Timestamps don't go back: that of N is at least that of N-1, which was read and can't change.
	recorded, err = a.ledger.putSigned(ctx, epoch, data)
	if err != nil {
		return nil, err
	}
	return a.answer(ctx, epoch, posted, recorded)
}

// answer returns what is on record for a post, if it is for the same digest.
func (a *Auditor) answer(ctx context.Context, epoch uint64, digest [32]byte, recorded []byte) ([]byte, error) {
	s, err := a.parse(epoch, recorded)
	if err != nil {
		return nil, err
	}
	if s.Digest == digest {
		return recorded, nil
	}
	// Only over our own signature is a log accused.
	if err := a.checkOurs(epoch, s); err != nil {
		return nil, err
	}
	posted := hex.EncodeToString(digest[:])
	if err := a.c.Conflict(ctx, Conflict{Epoch: epoch, Posted: posted, Signed: recorded, By: posterOf(ctx)}); err != nil {
		return nil, fmt.Errorf("recording a conflict: %w", err)
	}
	return nil, &ConflictError{Epoch: epoch, Posted: posted, Signed: hex.EncodeToString(s.Digest[:])}
}

// follows checks that it is an epoch's turn, and returns the earliest timestamp that it may have.
func (a *Auditor) follows(ctx context.Context, epoch uint64, digest [32]byte) (earliest uint64, err error) {
	start, err := a.startedAt(ctx, epoch, digest)
	if err != nil {
		return 0, err
	}
	switch {
	case epoch < start.Epoch:
		return 0, &RootError{start.Anchor}
	case epoch == start.Epoch && hex.EncodeToString(digest[:]) != start.Digest:
		return 0, a.second(ctx, start, digest)
	case epoch == start.Epoch:
		return 0, nil
	}
	recorded, err := a.ledger.signed(ctx, epoch-1)
	if errors.Is(err, errNotYet) {
		return 0, a.gap(ctx, epoch, start.Anchor)
	}
	if err != nil {
		return 0, err
	}
	previous, err := a.parse(epoch-1, recorded)
	if err != nil {
		return 0, err
	}
	// Nor is another's signature gone on from.
	if err := a.checkOurs(epoch-1, previous); err != nil {
		return 0, err
	}
	return previous.Timestamp, nil
}

// second refuses another digest for the first epoch. If a post began the sequence, the log has
// posted two, which a race or a crash must not keep off the record: what it posted first is signed,
// and this is a conflict as it is at any other epoch.
func (a *Auditor) second(ctx context.Context, start start, digest [32]byte) error {
	first, err := hex.DecodeString(start.Digest)
	if err != nil || !start.posted || !a.c.Root.IsZero() {
		return &RootError{start.Anchor}
	}
	recorded, err := a.sign(ctx, start.Epoch, [32]byte(first))
	if err == nil {
		_, err = a.answer(ctx, start.Epoch, digest, recorded)
	}
	return err
}

// checkOurs returns an error unless one of the keys signed what is on record.
func (a *Auditor) checkOurs(epoch uint64, s signature.SignedDigest) error {
	if err := a.keys.trusted.Verify(s); err != nil {
		if errors.Is(err, signature.ErrUnknownKey) {
			err = fmt.Errorf("%w: give this process the keys that all replicas have, also those that signed before, and restart it", err)
		}
		return fmt.Errorf("signed digest of epoch %d on record: %w", epoch, err)
	}
	return nil
}

// startedAt is where signing of the log began, which this post decides if nothing has. Created
// once, so that two first posts for different epochs begin one sequence and not two.
func (a *Auditor) startedAt(ctx context.Context, epoch uint64, digest [32]byte) (start, error) {
	start, err := a.ledger.start(ctx)
	if errors.Is(err, errNotYet) {
		start, err = a.begin(ctx, epoch, digest)
	}
	if err == nil && !a.c.Root.IsZero() && start.Anchor != a.c.Root {
		err = fmt.Errorf("signing began at %s, and the configured root is %s: a root cannot be changed", start.Anchor, a.c.Root)
	}
	return start, err
}

// begin decides where signing begins: at the configured root, or else at a post if nothing is
// signed. Where something is, the start was lost, and no post says what it was.
func (a *Auditor) begin(ctx context.Context, epoch uint64, digest [32]byte) (start, error) {
	if !a.c.Root.IsZero() {
		return a.ledger.putStart(ctx, start{Anchor: a.c.Root})
	}
	last, signed, err := a.ledger.last(ctx)
	if err != nil {
		return start{}, err
	}
	if !signed {
		return a.ledger.putStart(ctx, start{verdict.Anchor{Epoch: epoch, Digest: hex.EncodeToString(digest[:])}, true})
	}
	begun, err := a.ledger.start(ctx) // by another replica, since it was looked for
	if errors.Is(err, errNotYet) {
		err = fmt.Errorf("%w: signing/start.json is missing, and epochs are signed up to %d: configure the root", auditstore.ErrCorrupt, last)
	}
	return begun, err
}

func (a *Auditor) gap(ctx context.Context, epoch uint64, start verdict.Anchor) error {
	last, ok, err := a.ledger.last(ctx)
	if err != nil {
		return err
	}
	expected := start.Epoch
	if ok {
		expected = last + 1
	}
	return &GapError{Epoch: epoch, Expected: expected}
}

func (a *Auditor) checkReuse(ctx context.Context, epoch uint64, digest [32]byte) error {
	claims, err := a.ledger.claims(ctx, hex.EncodeToString(digest[:]))
	if err != nil {
		return err
	}
	for _, claimed := range claims {
		if claimed == epoch {
			continue
		}
		recorded, err := a.ledger.signed(ctx, claimed)
		if errors.Is(err, errNotYet) {
			continue
		}
		if err != nil {
			return err
		}
		s, err := a.parse(claimed, recorded)
		if err != nil {
			return err
		}
		if s.Digest == digest {
			return &ReusedError{Epoch: epoch, Earlier: claimed}
		}
	}
	return nil
}

// signable returns the digest that may be signed for an epoch: the one that was posted or, where
// that is the mode, the one that was verified. If these differ, the post is a conflict with what is
// then signed, and on record as such. ErrNotVerified unless the newest verdict is that the epoch
// was verified.
func (a *Auditor) signable(ctx context.Context, epoch uint64, posted [32]byte) (digest [32]byte, err error) {
	if !a.c.Verified {
		return posted, nil
	}
	v, err := a.c.Store.NewestVerdict(ctx, a.c.Namespace, epoch)
	switch {
	case errors.Is(err, auditstore.ErrNotFound):
		return digest, fmt.Errorf("%w: it has no verdict yet", ErrNotVerified)
	case err != nil:
		return digest, err
	case v.Outcome != verdict.Verified:
		return digest, fmt.Errorf("%w: it was rejected: %s", ErrNotVerified, v.Reason)
	}
	if n, err := hex.Decode(digest[:], []byte(v.Digest)); err != nil || n != len(digest) {
		return digest, fmt.Errorf("verdict on epoch %d: digest %.80q: %w", epoch, v.Digest, auditstore.ErrCorrupt)
	}
	return digest, nil
}

// make signs, not before the timestamp earliest.
func (a *Auditor) make(ctx context.Context, epoch uint64, digest [32]byte, earliest uint64) ([]byte, error) {
	now, err := a.clock(ctx)
	if err != nil {
		return nil, err
	}
	before := time.UnixMilli(int64(earliest))
	if before.Sub(now) > MaxSkew {
		return nil, fmt.Errorf("%w: it says %s, and the epoch before was signed at %s",
			ErrClock, now.UTC().Format(time.RFC3339), before.UTC().Format(time.RFC3339))
	}
	if now.Before(before) {
		now = before
	}
	key, err := a.keys.at(now)
	if err != nil {
		return nil, err
	}
	s, err := signature.Sign(key.Signer, a.c.Ciphersuite, a.c.Namespace, uint64(now.UnixMilli()), epoch, digest)
	if err != nil {
		return nil, err
	}
	return json.Marshal(s)
}

// parse reads a signed digest on record. A signature of a key that has been retired is not checked.
func (a *Auditor) parse(epoch uint64, recorded []byte) (signature.SignedDigest, error) {
	s, err := signature.Parse(recorded)
	if err == nil && (s.Namespace != a.c.Namespace || s.Epoch != epoch) {
		err = fmt.Errorf("it is of epoch %d of %q", s.Epoch, s.Namespace)
	}
	if err == nil {
		if err = a.keys.trusted.Verify(s); errors.Is(err, signature.ErrUnknownKey) {
			err = nil
		}
	}
	if err != nil {
		return s, fmt.Errorf("signed digest of epoch %d: %w: %w", epoch, auditstore.ErrCorrupt, err)
	}
	return s, nil
}
