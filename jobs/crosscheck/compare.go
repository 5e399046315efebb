package crosscheck

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
)

// What comparing an epoch comes to, as metrics have it.
const (
	same          = "same"
	splitView     = "split_view"
	contradiction = "contradiction" // of the auditor
	rejected      = "rejected"      // the auditor signed what was rejected here
	unknownKey    = "unknown_key"
	absent        = "absent" // the auditor has none, or not yet
	failed        = "failed"
)

// maxOpen is how many facts of a kind may wait to be acknowledged. An auditor of another log, say,
// disagrees at every epoch: what is beyond is not compared until somebody has looked. But that of
// one must not hide what others say: each loop may raise a few even so.
const maxOpen, maxBeyond = 100, 10

// errTooMany: no further facts are told of.
var errTooMany = errors.New("too many disagreements wait to be acknowledged: nothing further is compared until there are fewer (ktaudit incidents)")

// statement is a signed digest and whose it is.
type statement struct {
	signature.SignedDigest
	raw []byte // as it was said
	by  string // an auditor's URL, or incident.ByOurselves
	// alias is the log's name there, if it is another one; key is what it is signed with, empty if
	// that was not checked.
	alias, key string
}

func (s statement) digest() string { return hex.EncodeToString(s.Digest[:]) }

func (s statement) evidence() incident.Statement {
	return incident.Statement{By: s.by, Namespace: s.alias, Digest: s.digest(), Key: s.key, Signed: s.raw}
}

// comparer holds statements against what is on record of a log.
type comparer struct {
	namespace string
	store     *auditstore.Store
	incidents incident.Recorder

	budget map[alert.Kind]int // how many facts of a kind may still be raised; nil: not known yet
	beyond *int               // how many the loop may raise even so
}

// compare holds a signed digest against the verdict that counts and, if it is another auditor's,
// against the one that was signed here. It is nobody's fault if there is no verdict: ErrNotFound.
func (c *comparer) compare(ctx context.Context, s statement) (result string, err error) {
	v, err := c.store.NewestVerdict(ctx, c.namespace, s.Epoch)
	if err != nil {
		return "", err
	}
	result = same
	if v.Digest != "" && v.Digest != s.digest() {
		if err := c.raiseSplit(ctx, v, s.evidence(), incident.StatementOf(v)); err != nil {
			return splitView, err
		}
		result = splitView
	}
	if s.by != incident.ByOurselves {
		ours, err := c.signedHere(ctx, s.Epoch)
		if err == nil && ours.Digest != s.Digest {
			err, result = c.raiseSplit(ctx, v, s.evidence(), ours.evidence()), splitView
		}
		if err != nil && !errors.Is(err, auditor.ErrNotSigned) {
			return result, err
		}
	}
	// Of a batch over the limits set here nothing is said against the log.
	if v.Outcome == verdict.Rejected && v.Digest == s.digest() && v.Reason != verdict.BatchTooLarge && s.by != incident.ByOurselves {
		return rejected, c.raiseRejected(ctx, v, s)
	}
	return result, nil
}

// signedHere is the signed digest that this auditor gave for an epoch; auditor.ErrNotSigned if
// there is none. Its signature is for whoever reads the evidence to check: it is on record here.
func (c *comparer) signedHere(ctx context.Context, epoch uint64) (statement, error) {
	raw, err := auditor.ReadSigned(ctx, c.store, c.namespace, epoch)
	if err != nil {
		return statement{}, err
	}
	s, err := signature.Parse(raw)
	if err == nil {
		err = signature.Check(s, c.namespace, epoch, s.Digest)
	}
	if err != nil {
		return statement{}, fmt.Errorf("digest of epoch %d that was signed here: %w: %w", epoch, auditstore.ErrCorrupt, err)
	}
	return statement{SignedDigest: s, raw: raw, by: incident.ByOurselves}, nil
}

// raiseSplit tells that two have different digests for an epoch. Whoever finds the same two digests
// finds the same fact.
func (c *comparer) raiseSplit(ctx context.Context, v verdict.Verdict, a, b incident.Statement) error {
	published := " was published by the log"
	if b.By == incident.ByOurselves {
		published = " was posted by the log, and is signed here"
	}
	who := a.By
	if who == incident.ByOurselves {
		who = "this auditor, to whom the log posted it,"
	}
	split := alert.Alert{
		Kind: alert.SplitView, Namespace: c.namespace, Epoch: v.Epoch,
		Incident: alert.FactIncident(alert.SplitView, v.Epoch, sorted(a.Digest, b.Digest)...),
		Summary:  fmt.Sprintf("%s has two digests for epoch %d", c.namespace, v.Epoch),
		Detail: fmt.Sprintf("digest %s is signed by %s\ndigest %s%s\n"+
			"the log showed two histories, or a signer signed what it was not shown", a.Digest, who, b.Digest, published),
	}
	if err := c.mayRaise(ctx, split); err != nil {
		return err
	}
	return c.incidents.RecordDisagreement(ctx, split, []incident.Batch{incident.BatchOf(v)}, a, b)
}

// raiseRejected tells that an auditor signed the digest of an epoch that was rejected here.
func (c *comparer) raiseRejected(ctx context.Context, v verdict.Verdict, s statement) error {
	a := alert.Alert{
		Kind: alert.AuditorSignedRejected, Namespace: c.namespace, Epoch: v.Epoch, Reason: string(v.Reason),
		Incident: alert.FactIncident(alert.AuditorSignedRejected, v.Epoch, s.by, s.digest()),
		Summary:  fmt.Sprintf("%s signed epoch %d of %s, which was rejected here: %s", s.by, v.Epoch, c.namespace, v.Reason),
		Detail:   fmt.Sprintf("digest %s is signed with key %s", s.digest(), s.key),
	}
	if err := c.mayRaise(ctx, a); err != nil {
		return err
	}
	return c.incidents.RecordDisagreement(ctx, a, nil, s.evidence(), incident.StatementOf(v))
}

// raiseContradiction tells that an auditor says two things of an epoch.
func (c *comparer) raiseContradiction(ctx context.Context, s statement, other incident.Statement) error {
	a := c.contradictionOf(s, other)
	if known, err := c.incidents.IsRecorded(ctx, a); known || err != nil {
		return err // to say the two again adds nothing
	}
	if err := c.mayRaise(ctx, a); err != nil {
		return err
	}
	return c.incidents.RecordDisagreement(ctx, a, nil, s.evidence(), other)
}

func (c *comparer) contradictionOf(s statement, other incident.Statement) alert.Alert {
	how := "it also signed " + other.Digest
	if other.Answer != "" {
		how = "to " + other.Answer + " it answers that the epoch ends with " + other.Digest
	}
	return alert.Alert{
		Kind: alert.AuditorContradiction, Namespace: c.namespace, Epoch: s.Epoch,
		Incident: alert.FactIncident(alert.AuditorContradiction, s.Epoch, append(sorted(s.digest(), other.Digest), s.by)...),
		Summary:  fmt.Sprintf("%s contradicts itself on epoch %d of %s", s.by, s.Epoch, c.namespace),
		Detail:   fmt.Sprintf("it signed digest %s with key %s\n%s", s.digest(), s.key, how),
	}
}

// mayRaise returns errTooMany if too many facts of an alert's kind wait to be acknowledged. One
// that is on record may always be raised again.
func (c *comparer) mayRaise(ctx context.Context, a alert.Alert) error {
	if known, err := c.incidents.IsRecorded(ctx, a); known || err != nil {
		return err
	}
	if c.budget == nil {
		list, err := incident.ReadList(ctx, c.store, c.namespace)
		if err != nil {
			return err
		}
		c.budget = map[alert.Kind]int{}
		for _, k := range []alert.Kind{alert.SplitView, alert.AuditorSignedRejected, alert.AuditorContradiction} {
			c.budget[k] = maxOpen - list.Unacknowledged()[k]
		}
	}
	switch {
	case c.budget[a.Kind] > 0:
		c.budget[a.Kind]--
	case *c.beyond > 0:
		*c.beyond--
	default:
		return errTooMany
	}
	return nil
}

func sorted(texts ...string) []string {
	slices.Sort(texts)
	return texts
}
