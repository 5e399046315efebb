package audit

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/evidence"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/verify"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

const (
	// maxDetail bounds a verdict's detail, part of which the log made up.
	maxDetail = 2 << 10
	// maxDetailKeys bounds how many names of an equivocation its detail holds. The evidence has
	// more.
	maxDetailKeys = 4
)

// judgement is what was concluded about an epoch, and what it rests on. It is a value: each step
// returns a new one.
type judgement struct {
	verdict  verdict.Verdict
	evidence []incident.Evidence
	// the batch; without a key if the epoch was rejected for its names alone
	object fetcher.Object
	stale  bool          // what was read is of another state of the object than was listed
	draft  *verify.Draft // the batch on its way into the archive; nil if it is not kept
	// further batches that a rejection is about, the most telling first, and how many more
	others     []incident.Batch
	moreOthers int
	names      []verdict.ChainName // of an epoch with several batches
	// the epoch's verified signed digest, if it is not in the audit store already
	signed []byte

	locateTook, signatureTook time.Duration
}

// equivocation is the evidence of one: the keys of the batches that the log published for an epoch,
// and how many there were besides these; or the keys of neighbouring epochs' batches that do not
// belong to one history.
type equivocation struct {
	Epoch uint64   `json:"epoch"`
	Keys  []string `json:"keys"`
	More  int      `json:"more,omitempty"`
}

// newJudgement is the judgement of an epoch of which nothing is known yet.
func (a *Auditor) newJudgement(epoch uint64, started time.Time) judgement {
	return judgement{verdict: verdict.Verdict{
		Schema: verdict.Schema, Namespace: a.Namespace, Epoch: epoch, Outcome: verdict.Verified,
		StartedAt: started.UTC(), Software: a.Software,
		Signature: verdict.Signature{Status: verdict.SignatureNotRequired},
	}}
}

// ofBatch is the judgement with the batch that it is about.
func (j judgement) ofBatch(object fetcher.Object) judgement {
	j.object = object
	j.verdict.Strays = straysOf(object.Strays)
	return j.named(object.Key, object.Name)
}

// straysOf is what a verdict says of strays.
func straysOf(s fetcher.Strays) *verdict.Strays {
	if len(s.Names) == 0 {
		return nil
	}
	return &verdict.Strays{Names: s.Names, More: s.More}
}

func (j judgement) named(key string, name validator.Name) judgement {
	j.verdict.Batch.Key = key
	j.verdict.PreviousDigest, j.verdict.Digest = name.PreviousDigest.String(), name.Digest.String()
	return j
}

// namedFirst is the judgement with the first of several keys that is well-formed, if there is one.
func (j judgement) namedFirst(keys []string) judgement {
	for _, key := range keys {
		if name, _, err := fetcher.ParseKey(key); err == nil {
			return j.named(key, name)
		}
	}
	return j
}

// withFetched is the judgement with what was read.
func (j judgement) withFetched(f verify.Found) judgement {
	j.verdict.VerifySeconds, j.stale = f.Took.Seconds(), f.Stale != nil
	j.verdict.Inserted, j.verdict.Unchanged = f.Result.Inserted, f.Result.Unchanged
	b := j.object.Listed()
	b.Bytes, b.StoredBytes, b.Compression, b.SHA256 = f.Info.Bytes, f.Info.StoredBytes, f.Info.Compression, f.Info.SHA256
	j.verdict.Batch = b
	return j
}

// rejected is the judgement with a rejection. Details quote what a log published, so they are cut:
// by hand and not by text.Cut, whose mark counts towards the limit, for details are stored bytes.
func (j judgement) rejected(reason verdict.Reason, detail string) judgement {
	detail = strings.ToValidUTF8(detail, "?")
	if len(detail) > maxDetail {
		detail = strings.ToValidUTF8(detail[:maxDetail], "") + "…"
	}
	j.verdict.Outcome, j.verdict.Reason, j.verdict.Detail = verdict.Rejected, reason, detail
	return j
}

// with is the judgement with more evidence.
func (j judgement) with(more ...incident.Evidence) judgement {
	j.evidence = append(j.evidence[:len(j.evidence):len(j.evidence)], more...)
	return j
}

// rejectedForNames is the judgement with a rejection for what is wrong with the epoch's names
// alone. Any other error is returned.
func (j judgement) rejectedForNames(err error) (judgement, error) {
	if e, ok := errors.AsType[*fetcher.EquivocationError](err); ok {
		if j.object.Key == "" {
			j = j.namedFirst(e.Keys)
			j.verdict.Strays = straysOf(e.Strays)
		}
		names, err := incident.EvidenceOf("equivocation", equivocation{e.Epoch, e.Keys, e.More})
		keys := e.Keys[:min(len(e.Keys), maxDetailKeys)]
		detail := fmt.Sprintf("%d batches: %s", len(e.Keys)+e.More, strings.Join(keys, ", "))
		j.others, j.moreOthers = evidence.Claimed(e, j.object.Key), e.More
		for _, key := range e.Keys {
			if name, err := fetcher.ReadKey(key); err == nil && name.Epoch == e.Epoch {
				j.names = append(j.names, verdict.ChainName{PreviousDigest: name.PreviousDigest.String(), Digest: name.Digest.String()})
			}
		}
		return j.rejected(fetcher.Reason(e), detail).with(names), err
	}
	if e, ok := errors.AsType[*fetcher.NameError](err); ok {
		j.verdict.Batch.Key = strings.ToValidUTF8(e.Key, "?")
		j.verdict.Strays = straysOf(e.Strays)
		evidence, err := incident.EvidenceOf("name",
			map[string]any{"epoch": e.Epoch, "key": j.verdict.Batch.Key, "error": e.Err.Error()})
		return j.rejected(fetcher.Reason(e), e.Error()).with(evidence), err
	}
	return j, err
}

// concern is what a rejection or contradiction is about. The batch that was judged comes first.
func (j judgement) concern(more ...incident.Batch) incident.Concern {
	v := j.verdict
	c := incident.Concern{Epoch: v.Epoch, Reason: v.Reason, Detail: v.Detail, MoreBatches: j.moreOthers}
	if j.object.Key != "" {
		c.Batches = append(c.Batches, incident.BatchOf(v))
	}
	c.Batches = append(append(c.Batches, more...), j.others...)
	return c
}
