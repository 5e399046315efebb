package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

const (
	// maxDetail bounds a verdict's detail, part of which the log made up.
	maxDetail = 2 << 10
	// maxDetailKeys bounds how many names of an equivocation its detail holds. The evidence has more.
	maxDetailKeys = 4
)

// judgement is one way of one epoch: what was found, and what is to be kept when the verdict is written.
type judgement struct {
	auditor *Auditor
	started time.Time
	object  fetcher.Object // the batch; without a key if the epoch was rejected for its names alone
	verdict verdict.Verdict

	archive  *archive // the batch, if it is to be kept
	signed   []byte   // the epoch's verified signed digest, if it is not in the audit store already
	evidence []incident.Evidence
	kept     bool // the batch is in the archive, or among the evidence

	located, signatureChecked time.Duration

	measured observe.Attempt
	reaching observe.Failure // whose fault it is if the way ends here
	created  bool            // the verdict on record is this one
}

// equivocation is the evidence of one: the keys of the batches that the log published for an epoch, and how many there were
// besides these; or the keys of neighbouring epochs' batches that do not belong to one history.
type equivocation struct {
	Epoch uint64   `json:"epoch"`
	Keys  []string `json:"keys"`
	More  int      `json:"more,omitempty"`
}

// reach comes to a verdict, or an error says why there is none. It writes nothing but archives yet to be committed.
func (j *judgement) reach(ctx context.Context, epoch uint64) error {
	a := j.auditor
	j.verdict = verdict.Verdict{
		Schema: verdict.Schema, Namespace: a.Namespace, Epoch: epoch, Outcome: verdict.Verified,
		StartedAt: j.started.UTC(), Software: a.Software,
		Signature: verdict.Signature{Status: verdict.SignatureNotRequired},
	}
	j.reaching = observe.LogDirectory
	object, err := a.locate(ctx, epoch)
	j.located = time.Since(j.started)
	j.measured.Stage(observe.Locate, j.started)
	if err != nil {
		return j.judgeName(err)
	}
	j.object = object
	j.setName(object.Key, object.Name)

	checking := time.Now()
	j.reaching = observe.Signatures
	signed, err := a.checkSignatures(ctx, object.Name)
	j.signatureChecked = time.Since(checking)
	j.measured.Stage(observe.Signature, checking)
	if err != nil {
		return err
	}
	j.verdict.Signature = signed.record
	if a.Signatures != nil {
		j.signed = signed.verified
	}

	j.reaching = observe.LogDirectory
	found, err := j.examine(ctx, object, a.Archive)
	if err == nil {
		j.weigh(found, signed)
	}
	if err == nil && j.verdict.Outcome == verdict.Rejected {
		found, err = j.examineAgain(ctx, found)
	}
	if err != nil {
		return j.judgeName(err)
	}
	j.verdict.VerifySeconds = found.took.Seconds()
	j.verdict.Inserted, j.verdict.Unchanged = found.result.Inserted, found.result.Unchanged
	j.verdict.Batch = verdict.Batch{
		Key: j.object.Key, Bytes: found.info.Bytes, StoredBytes: found.info.StoredBytes,
		Compression: found.info.Compression, SHA256: found.info.SHA256,
	}
	return nil
}

// weigh rejects the epoch if anything that was found is a reason to. What the batch itself shows goes before what was said about
// it: the first that holds is the reason.
func (j *judgement) weigh(found finding, signed signatureFinding) {
	name := j.object.Name
	switch {
	case name.Digest == name.PreviousDigest:
		j.reject(verdict.DigestReused, fmt.Sprintf("epoch %d has the digest of epoch %d, %s", name.Epoch, name.Epoch-1, name.Digest))
	case found.result.Outcome == validator.Rejected:
		j.reject(found.result.Reason, found.result.Detail)
	case signed.reason != "":
		j.reject(signed.reason, signed.detail)
	}
	j.evidence = append(j.evidence, signed.evidence...)
}

// locate finds the epoch's batch. A stray object alone is looked for twice, for someone may have been tidying up, and for longer
// while it may be a batch on its way.
func (a *Auditor) locate(ctx context.Context, epoch uint64) (fetcher.Object, error) {
	object, err := a.Fetcher.Locate(ctx, epoch)
	if _, stray := errors.AsType[*fetcher.NameError](err); stray {
		object, err = a.Fetcher.Locate(ctx, epoch)
	}
	if stray, ok := errors.AsType[*fetcher.NameError](err); ok {
		if unsettled := a.settled(stray.ModTime, err); unsettled != nil {
			err = unsettled
		}
	}
	return object, err
}

// judgeName makes a rejection of what is wrong with an epoch's names alone. Any other error it returns.
func (j *judgement) judgeName(err error) error {
	if e, ok := errors.AsType[*fetcher.EquivocationError](err); ok {
		if name, err := ParseBatchKey(e.Keys[0]); err == nil && j.object.Key == "" {
			j.setName(e.Keys[0], name)
		}
		if err := j.addEvidence("equivocation", equivocation{e.Epoch, e.Keys, e.More}); err != nil {
			return err
		}
		keys := e.Keys[:min(len(e.Keys), maxDetailKeys)]
		j.reject(verdict.Equivocation, fmt.Sprintf("%d batches: %s", len(e.Keys)+e.More, strings.Join(keys, ", ")))
		return nil
	}
	if e, ok := errors.AsType[*fetcher.NameError](err); ok {
		j.verdict.Batch.Key = strings.ToValidUTF8(e.Key, "?")
		j.reject(verdict.MalformedProof, e.Error())
		return j.addEvidence("name", map[string]any{"epoch": e.Epoch, "key": j.verdict.Batch.Key, "error": e.Err.Error()})
	}
	return err
}

func (j *judgement) setName(key string, name validator.Name) {
	j.verdict.Batch.Key = key
	j.verdict.PreviousDigest, j.verdict.Digest = name.PreviousDigest.String(), name.Digest.String()
}

func (j *judgement) reject(reason verdict.Reason, detail string) {
	detail = strings.ToValidUTF8(detail, "?")
	if len(detail) > maxDetail {
		detail = strings.ToValidUTF8(detail[:maxDetail], "") + "…"
	}
	j.verdict.Outcome, j.verdict.Reason, j.verdict.Detail = verdict.Rejected, reason, detail
}

// parseBatchKey reads the name in a batch's key, which may go on with the extension of a compression.
func ParseBatchKey(key string) (validator.Name, error) {
	name, _, _ := strings.Cut(key, ".")
	return validator.ParseName(name)
}
