package chain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// namesEvidence shows what is wrong with names: that an epoch has several, or does not begin with
// the digest of the one before.
type namesEvidence struct {
	Reason verdict.Reason `json:"reason"`
	Epoch  uint64         `json:"epoch"`
	// of a broken chain: the digest after the epoch before, and the one that this one begins with
	Before         string              `json:"before,omitempty"`
	PreviousDigest string              `json:"previous_digest,omitempty"`
	Names          []verdict.ChainName `json:"names,omitempty"` // of an equivocation
}

// accuse puts evidence on record of the breaks and doubles that the chain before does not have, and
// raises alerts, up to a number of each. It returns how many there are. What is missing accuses
// nobody.
func (k *walk) accuse(ctx context.Context, before, now verdict.Chain) (found int, err error) {
	old := map[uint64]bool{}
	was := before.Coverage(0, 0)
	for _, epoch := range was.Breaks {
		old[epoch] = true
	}
	for _, r := range was.Doubles {
		for epoch := r.From; epoch <= r.To; epoch++ {
			old[epoch] = true
		}
	}
	is := now.Coverage(0, 0)
	breaks := slices.DeleteFunc(is.Breaks, func(epoch uint64) bool { return old[epoch] })
	for _, epoch := range breaks[:min(len(breaks), maxAccusations)] {
		e := breakAt(now, epoch)
		detail := fmt.Sprintf("by their names: epoch %d ends with digest %s, epoch %d begins with %s",
			epoch-1, e.Before, epoch, e.PreviousDigest)
		if err := raiseNames(ctx, k.recorder(), k.Namespace, e, alert.OfBrokenChain(k.Namespace, epoch, verdict.BrokenChain, detail, e.Before, e.PreviousDigest)); err != nil {
			return found, err
		}
	}
	var doubles []uint64
	for _, r := range is.Doubles {
		for epoch := r.From; epoch <= r.To; epoch++ {
			if !old[epoch] {
				doubles = append(doubles, epoch)
			}
		}
	}
	untold := max(0, len(breaks)-maxAccusations)
	for _, epoch := range doubles {
		names, known := k.doubles[epoch]
		if !known { // there are too many, or another walk has found it
			untold++
			continue
		}
		if err := RecordDouble(ctx, k.recorder(), k.Namespace, epoch, names, nil); err != nil {
			return found, err
		}
	}
	if untold > 0 {
		k.Logger.Error().Int("epochs", untold).
			Msg("the names of more epochs contradict each other than there are alerts on: status shows all")
	}
	return len(breaks) + len(doubles), nil
}

// RecordDouble puts evidence on record that an epoch has several batches by their names, and then
// raises an alert. Whoever finds the same names writes the same bytes. Before, if not nil, is
// called before that, unless the evidence is on record already.
func RecordDouble(ctx context.Context, to incident.Recorder, namespace string, epoch uint64, names []verdict.ChainName, before func() error) error {
	names = verdict.SortNames(names)
	e := namesEvidence{Reason: verdict.Equivocation, Epoch: epoch, Names: names[:min(len(names), verdict.MaxChainNames)]}
	evidence, err := e.evidence()
	if err != nil {
		return err
	}
	if before != nil {
		_, err := to.Store.Evidence(ctx, namespace, epoch, evidence.Name())
		if errors.Is(err, auditstore.ErrNotFound) {
			err = before()
		}
		if err != nil {
			return err
		}
	}
	return raiseNames(ctx, to, namespace, e, alert.OfDoubleName(namespace, epoch, names, "by its names: "+namesText(names)))
}

func (e namesEvidence) evidence() (incident.Evidence, error) {
	data, err := json.Marshal(e)
	return incident.Evidence{Kind: "names", Data: data, Extension: ".json"}, err
}

func raiseNames(ctx context.Context, to incident.Recorder, namespace string, e namesEvidence, a alert.Alert) error {
	evidence, err := e.evidence()
	if err != nil {
		return err
	}
	level := zerolog.DebugLevel // where it is known
	if _, err := to.Store.Evidence(ctx, namespace, e.Epoch, evidence.Name()); errors.Is(err, auditstore.ErrNotFound) {
		level = zerolog.ErrorLevel
	}
	to.Log.WithLevel(level).Uint64("epoch", e.Epoch).Str("reason", string(e.Reason)).Msg("the names of a log contradict each other")
	concern := incident.Concern{Epoch: e.Epoch, Reason: e.Reason, Detail: a.Summary, Batches: batchesNamed(e.Epoch, e.Names)}
	if err := to.PutEvidenceOn(ctx, namespace, concern, evidence); err != nil {
		return err
	}
	return to.Raise(ctx, a)
}

// recorder records what is wrong and, for the first few epochs of a walk, what else can be had.
func (k *walk) recorder() incident.Recorder {
	to := k.incidents
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.collected++; k.collected <= maxCollected {
		to.Collect = k.Collect
	}
	return to
}

// batchesNamed are the batches of an epoch by their names, which may lack an extension.
func batchesNamed(epoch uint64, names []verdict.ChainName) []incident.Batch {
	var all []incident.Batch
	for _, n := range names {
		all = append(all, incident.Batch{Epoch: epoch, Key: fmt.Sprintf("%d/%s/%s", epoch, n.PreviousDigest, n.Digest)})
	}
	return all
}

// breakAt returns the evidence of an epoch that does not continue the one before it.
func breakAt(c verdict.Chain, epoch uint64) namesEvidence {
	e := namesEvidence{Reason: verdict.BrokenChain, Epoch: epoch}
	e.Before, e.PreviousDigest = c.DigestsAt(epoch)
	return e
}
