package chain

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/verdict"
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
		if err := k.raise(ctx, e, alert.OfBrokenChain(k.Namespace, epoch, string(verdict.BrokenChain), detail)); err != nil {
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
		e := namesEvidence{Reason: verdict.Equivocation, Epoch: epoch, Names: names}
		if err := k.raise(ctx, e, alert.OfDoubleName(k.Namespace, epoch, "by its names: "+namesText(names))); err != nil {
			return found, err
		}
	}
	if untold > 0 {
		k.Logger.Error().Int("epochs", untold).
			Msg("the names of more epochs contradict each other than there are alerts on: status shows all")
	}
	return len(breaks) + len(doubles), nil
}

func (k *walk) raise(ctx context.Context, e namesEvidence, a alert.Alert) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	k.Logger.Error().Uint64("epoch", e.Epoch).Str("reason", string(e.Reason)).Msg("the names of a log contradict each other")
	evidence := incident.Evidence{Kind: "names", Data: data, Extension: ".json"}
	concern := incident.Concern{Epoch: e.Epoch, Reason: e.Reason, Detail: a.Summary, Batches: batchesNamed(e.Epoch, e.Names)}
	if err := k.putEvidence(ctx, concern, evidence); err != nil {
		return err
	}
	return k.incidents.Raise(ctx, a)
}

// putEvidence puts evidence on record, and before it, for the first few epochs of a walk, what else
// can be had.
func (k *walk) putEvidence(ctx context.Context, c incident.Concern, e incident.Evidence) error {
	by := k.incidents
	k.mu.Lock()
	if k.collected++; k.collected <= maxCollected {
		by.Collect = k.Collect
	}
	k.mu.Unlock()
	return by.PutEvidenceOn(ctx, k.Namespace, c, e)
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
	for _, r := range c.Find((epoch - 1) / verdict.EpochsPerShard).Runs {
		if r.To == epoch-1 {
			e.Before = r.Digest
		}
	}
	for _, r := range c.Find(epoch / verdict.EpochsPerShard).Runs {
		if r.From == epoch {
			e.PreviousDigest = r.PreviousDigest
		}
	}
	return e
}
