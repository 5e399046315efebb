package incident

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// Recorder puts what is wrong with a log on record, and then into the outbox for people to read.
type Recorder struct {
	Store   *auditstore.Store
	Metrics observe.Metrics
	Log     zerolog.Logger
	// Collect puts on record what else can be had on an incident, before its own evidence. It is
	// best effort and not part of what an incident rests on. Nil collects nothing.
	Collect func(ctx context.Context, c Concern)
}

// Concern is what an incident is about, for whoever collects evidence on it.
type Concern struct {
	Epoch  uint64 // that it stands at
	Reason verdict.Reason
	Detail string
	// Batches are those concerned, the most telling first, MoreBatches how many others there are.
	Batches     []Batch
	MoreBatches int
}

// Batch is a batch of the log's. SHA256 is empty where it is not known.
type Batch struct {
	Epoch  uint64
	Key    string
	SHA256 string
}

// BatchOf is the batch that a verdict is on.
func BatchOf(v verdict.Verdict) Batch { return Batch{v.Epoch, v.Batch.Key, v.Batch.SHA256} }

// Outbox holds the alerts until every target has them.
func (r Recorder) Outbox() alert.Outbox { return alert.Outbox{Store: r.Store} }

// Raise opens an incident, and then puts an alert on it into the outbox, once. A dispatcher sends
// it.
//
// A crash before the first write leaves nothing. One between the two leaves an incident that every
// command shows and nobody was sent: whoever finds the same again, or Reconcile, adds the alert.
func (r Recorder) Raise(ctx context.Context, a alert.Alert) error {
	a, err := a.Complete(time.Now())
	if err == nil {
		a, err = r.asOnRecord(ctx, a)
	}
	if err == nil {
		err = r.open(ctx, a)
	}
	raised := false
	if err == nil {
		raised, err = r.Outbox().Raise(ctx, a)
	}
	if err != nil {
		return fmt.Errorf("raising %s: %w", a.Incident, err)
	}
	if raised {
		observe.MetricsOr(r.Metrics).AlertRaised(a.Namespace, string(a.Kind))
	}
	return nil
}

// asOnRecord is an alert under the name that its incident has on record: a version of before names
// told facts apart may have recorded the same one.
func (r Recorder) asOnRecord(ctx context.Context, a alert.Alert) (alert.Alert, error) {
	former, err := isRecordedFormerly(ctx, r.Store.Incidents(a.Namespace), a)
	if former {
		a.Incident = a.FormerIncident()
	}
	return a, err
}

// isRecordedFormerly reports whether an incident under an alert's former name is on record and
// about the same fact. One that cannot be read is about another.
func isRecordedFormerly(ctx context.Context, incidents auditstore.Incidents, a alert.Alert) (bool, error) {
	former := a.FormerIncident()
	if former == "" {
		return false, nil
	}
	data, err := incidents.Incident(ctx, objectName(former))
	if errors.Is(err, auditstore.ErrNotFound) || errors.Is(err, auditstore.ErrCorrupt) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	recorded, err := alert.Decode(a.Namespace, former, data)
	return err == nil && a.IsSameFact(recorded), nil
}

// open puts an incident among the open ones, unless it is a condition that has ended: each is told
// of once.
func (r Recorder) open(ctx context.Context, a alert.Alert) error {
	incidents := r.Store.Incidents(a.Namespace)
	name := objectName(a.Incident)
	if a.Kind.Ends() {
		if _, err := incidents.Ended(ctx, name); !errors.Is(err, auditstore.ErrNotFound) {
			return err
		}
	}
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return incidents.Put(ctx, name, data)
}

// Resolve ends the incident of an alert.
//
// The alert of the end is written last. After a crash before that, the condition still counts as
// lasting in the outbox, and whoever takes stock of it resolves it again.
func (r Recorder) Resolve(ctx context.Context, a alert.Alert, at time.Time) error {
	if !a.Kind.Ends() {
		return fmt.Errorf("incident %q of %q cannot be resolved: it is a fact and has no end", a.Incident, a.Namespace)
	}
	err := r.end(ctx, a, at)
	if err == nil {
		err = r.Outbox().Resolve(ctx, a.Namespace, a.Incident, at)
	}
	if err != nil {
		return fmt.Errorf("resolving %s: %w", a.Incident, err)
	}
	return nil
}

// end takes a condition out of the open incidents; one that is not among them is left alone.
func (r Recorder) end(ctx context.Context, a alert.Alert, at time.Time) error {
	incidents := r.Store.Incidents(a.Namespace)
	name := objectName(a.Incident)
	data, err := incidents.Incident(ctx, name)
	if errors.Is(err, auditstore.ErrNotFound) {
		return nil
	}
	if err != nil && !errors.Is(err, auditstore.ErrCorrupt) {
		return err
	}
	// Of one that cannot be read, what the caller knows is kept.
	if opened, err := alert.Decode(a.Namespace, a.Incident, data); err == nil {
		a = opened
	}
	a.ResolvedAt = at
	if a, err = a.Complete(at); err != nil {
		return err
	}
	if data, err = json.Marshal(a); err != nil {
		return err
	}
	return incidents.End(ctx, name, data)
}

// Evidence is one object that shows what is wrong with an epoch.
type Evidence struct {
	Kind      string // such as "equivocation"
	Data      []byte
	Extension string // of the object's name
}

// Name is the object's name. It holds the hash of the bytes, so that what several attempts find
// stands side by side and the same evidence is written once.
func (e Evidence) Name() string {
	return fmt.Sprintf("%s-%.8x%s", e.Kind, sha256.Sum256(e.Data), e.Extension)
}

// EvidenceOf is evidence in JSON.
func EvidenceOf(kind string, value any) (Evidence, error) {
	data, err := json.Marshal(value)
	return Evidence{Kind: kind, Data: data, Extension: ".json"}, err
}

// PutEvidence records evidence on an epoch. To repeat it changes nothing.
func (r Recorder) PutEvidence(ctx context.Context, namespace string, epoch uint64, all ...Evidence) error {
	for _, e := range all {
		if err := r.Store.PutEvidence(ctx, namespace, epoch, e.Name(), e.Data); err != nil {
			return err
		}
	}
	return nil
}

// PutEvidenceOn is PutEvidence of what an incident rests on, after what else can be had on it was
// collected. What is on record already is not collected on again.
func (r Recorder) PutEvidenceOn(ctx context.Context, namespace string, c Concern, e Evidence) error {
	if r.Collect != nil {
		if _, err := r.Store.Evidence(ctx, namespace, c.Epoch, e.Name()); errors.Is(err, auditstore.ErrNotFound) {
			r.Collect(ctx, c)
		}
	}
	return r.PutEvidence(ctx, namespace, c.Epoch, e)
}

// BrokenChain is the evidence that two verified epochs are not of one log. Verdicts never change,
// so whoever finds the two writes the same bytes.
type BrokenChain struct {
	Reason verdict.Reason   `json:"reason"`
	Epochs [2]BrokenVerdict `json:"epochs"`
}

type BrokenVerdict struct {
	Epoch          uint64 `json:"epoch"`
	PreviousDigest string `json:"previous_digest"`
	Digest         string `json:"digest"`
	BatchKey       string `json:"batch_key"`
	BatchSHA256    string `json:"batch_sha256"`
}

// RecordBrokenChain puts on record, at the second of two epochs, that they are not of one log, and
// then raises an alert. Both are verified but for an Island. The reason is BrokenChain if the
// second does not start from the digest that the first ends with, DigestReused if both end with the
// same digest, Rollback if the second starts from the digest of the first though there were epochs
// between them, Island if the first was rejected and the second starts from a digest that neither
// the first claims nor any epoch before is verified to have ended with.
//
// A crash between evidence and alert is repaired by whoever finds the two next: it does both again,
// and each is there once, however often it is found.
func (r Recorder) RecordBrokenChain(ctx context.Context, reason verdict.Reason, first, second verdict.Verdict) error {
	a := brokenChain(reason, first, second)
	r.Log.Error().Uint64("epoch", second.Epoch).Str("detail", a.Detail).Msg("epochs contradict each other")
	found := BrokenChain{Reason: reason}
	for i, v := range []verdict.Verdict{first, second} {
		found.Epochs[i] = BrokenVerdict{v.Epoch, v.PreviousDigest, v.Digest, v.Batch.Key, v.Batch.SHA256}
	}
	data, err := json.Marshal(found)
	if err != nil {
		return err
	}
	e := Evidence{"broken-chain", data, ".json"}
	concern := Concern{Epoch: second.Epoch, Reason: reason, Detail: a.Detail, Batches: []Batch{BatchOf(second), BatchOf(first)}}
	if err := r.PutEvidenceOn(ctx, second.Namespace, concern, e); err != nil {
		return err
	}
	return r.Raise(ctx, a)
}

// brokenChain is the alert of RecordBrokenChain.
func brokenChain(reason verdict.Reason, first, second verdict.Verdict) alert.Alert {
	switch reason {
	case verdict.DigestReused:
		return alert.OfBrokenChain(second.Namespace, second.Epoch, reason,
			fmt.Sprintf("epoch %d ends with digest %s, and so did epoch %d", second.Epoch, second.Digest, first.Epoch), second.Digest)
	case verdict.Rollback:
		return alert.OfRollback(second.Namespace, second.Epoch, first.Epoch, second.PreviousDigest)
	case verdict.Island:
		return alert.OfIsland(second.Namespace, second.Epoch, first.Digest, second.PreviousDigest)
	}
	return alert.OfBreak(second.Namespace, second.Epoch, first.Digest, second.PreviousDigest)
}
