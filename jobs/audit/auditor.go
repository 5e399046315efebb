package audit

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/canary"
	"github.com/ktaudit/ktaudit/jobs/evidence"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/pending"
	"github.com/ktaudit/ktaudit/jobs/verify"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
)

// IsNotYet reports whether err means that the log has not published all of an epoch yet, or only
// just, or that the operator has not configured the key that it signed with: no fault, and no
// verdict.
func IsNotYet(err error) bool {
	return errors.Is(err, fetcher.ErrNotPublished) || isUnsigned(err) || errors.Is(err, ErrTooRecent)
}

// ContradictionError says that an epoch was judged again and found otherwise than the verdict on
// record, which stays. The new one is under evidence/ in the audit store.
type ContradictionError struct {
	Recorded, Found verdict.Verdict
}

func (e *ContradictionError) Error() string {
	describe := func(v verdict.Verdict) string {
		return fmt.Sprintf("%s %s %s/%s", v.Outcome, v.Reason, v.PreviousDigest, v.Digest)
	}
	return fmt.Sprintf("epoch %d: found %s, on record is %s", e.Found.Epoch, describe(e.Found), describe(e.Recorded))
}

// Config says how one log is audited. It is complete: New names a field that must be set and is
// not.
type Config struct {
	Namespace     string
	Configuration validator.Configuration
	Limits        validator.Options // on a proof: see verify.Verifier
	Fetcher       *fetcher.Fetcher
	Store         *auditstore.Store

	// Keys are the trusted keys. An epoch that is signed with another one waits for it. Without
	// any, signed digests are not looked at and verdicts say not_required.
	Keys signature.Keys
	// Signatures holds the log's signed digests as "{epoch}.json". Nil means that they are in the
	// audit store already.
	Signatures *blob.Bucket
	// First is the epoch that the audit starts at, which must be set. The epoch before it is
	// nobody's to judge, so its signed digest is held against epoch First if it is there, and not
	// waited for if it isn't.
	First uint64

	// Anchor is a digest that is known from elsewhere. The epoch after it is not judged, which is
	// an error and no verdict, while it begins with another one. A zero Anchor is none.
	Anchor verdict.Anchor

	// MinAge is how old a batch or a signed digest must be before what is wrong with its bytes or
	// its name is held against the log: a younger one may still be being written. 0 means that
	// nothing is waited for, as for a log that is known to be written.
	MinAge time.Duration

	// Evidence collects what else shows that a rejection or contradiction is right. Nil keeps only
	// what it rests on.
	Evidence *evidence.Collector

	// Archive keeps every batch in the audit store. Without it, only those of rejected epochs are
	// kept.
	Archive bool
	// Canary, which all auditors of a process share, tests the judge with proofs that were
	// verified. Nil tests nothing.
	Canary *canary.Canary
	// Budget is the memory for batches in flight, which all auditors of a process share. It must be
	// set.
	Budget   *verify.Budget
	Software string          // of the verdict, such as "ktaudit 0.1.0"
	Metrics  observe.Metrics // nil measures nothing
	Log      zerolog.Logger
}

// Auditor takes single epochs of one log all the way from the log directory to a verdict in the
// audit store. It knows no queue, and may be used by any number of goroutines.
type Auditor struct {
	Config
	pending pending.Verdicts
}

// New checks a configuration.
func New(c Config) (*Auditor, error) {
	if err := verdict.CheckNamespace(c.Namespace); err != nil {
		return nil, err
	}
	var missing string
	switch {
	case c.Fetcher == nil:
		missing = "Fetcher"
	case c.Store == nil:
		missing = "Store"
	case c.Configuration == validator.Configuration{}:
		missing = "Configuration"
	case c.First == 0:
		missing = "First"
	case c.Budget == nil:
		missing = "Budget"
	case c.MinAge < 0:
		return nil, fmt.Errorf("auditor of %s: MinAge is negative", c.Namespace)
	default:
		c.Budget.Join(c.Namespace)
		return &Auditor{Config: c}, nil
	}
	return nil, fmt.Errorf("auditor of %s: %s is not set", c.Namespace, missing)
}

// verifier reads and verifies the log's batches.
func (a *Auditor) verifier() *verify.Verifier {
	return &verify.Verifier{
		Namespace: a.Namespace, Configuration: a.Configuration, Limits: a.Limits,
		Fetcher: a.Fetcher, Store: a.Store, Budget: a.Budget,
	}
}

// fetch reads and verifies a batch once. The caller commits or drops the draft.
func (a *Auditor) fetch(ctx context.Context, t *attempt, object fetcher.Object, draft bool) (verify.Found, error) {
	return a.verifier().Batch(ctx, t.Attempt, object, verify.Options{Draft: draft, Sample: t.sample})
}

// incidents records what is wrong with the log.
func (a *Auditor) incidents() incident.Recorder {
	return incident.Recorder{Store: a.Store, Metrics: a.Metrics, Log: a.Log}
}

// Audit returns the epoch's verdict, which is on record in the audit store when Audit returns. A
// rejection is a verdict and no error.
//
// An error means that there is no verdict: the epoch or its signed digest is not published yet, or
// too recently (IsNotYet), or something went wrong on the way that a retry may find gone. The
// exception is *ContradictionError, which comes with the verdict on record and which a retry would
// not meet again. Panics come back as errors.
func (a *Auditor) Audit(ctx context.Context, epoch uint64) (v verdict.Verdict, err error) {
	t := &attempt{Attempt: observe.MetricsOr(a.Metrics).Begin(ctx, a.Namespace, epoch), reaching: observe.AuditStore}
	created := false
	defer func() {
		if p := recover(); p != nil {
			err = a.panicked(epoch, p)
			t.reaching = observe.Panic
		}
		t.End(t.result(ctx, v, created, err))
	}()
	recorded, err := a.Store.Verdict(ctx, a.Namespace, epoch)
	if !errors.Is(err, auditstore.ErrNotFound) {
		return recorded, err
	}
	ctx = fetcher.RecordListings(ctx, &t.listings)
	j, err := a.judge(ctx, t, epoch, a.Archive)
	if err != nil {
		return verdict.Verdict{}, err
	}
	defer j.draft.Drop()
	v, created, err = a.record(ctx, t, j)
	return v, err
}

// panicked makes an error of a panic.
func (a *Auditor) panicked(epoch uint64, p any) error {
	a.Log.Error().Uint64("epoch", epoch).Interface("panic", p).Bytes("stack", debug.Stack()).Msg("an audit panicked, which is a defect of ktaudit; the epoch is tried again")
	return fmt.Errorf("epoch %d: panic: %v", epoch, p)
}
