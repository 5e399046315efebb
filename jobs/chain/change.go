package chain

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/blobstore/s3list"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
)

const (
	// maxChanges is how many epochs a piece of evidence has, maxAccusations how many incidents of a
	// kind one walk raises, and maxAccused of how many shards it says that names have changed. The
	// next walk goes on with the shards; of the other incidents the log says how many there are.
	maxChanges, maxAccusations, maxAccused = 100, 100, 10
	// maxUnconfirmed is of how many shards that could not be confirmed a walk makes no account.
	maxUnconfirmed = 200
	// maxCollected is for how many epochs of a walk further evidence is collected.
	maxCollected = 4
	// maxLookedFor is how many missing epochs of a shard are looked for again.
	maxLookedFor = 3
)

// What became of the names of an epoch that were on record.
const (
	Came    = "came"    // another one was added to them
	Went    = "went"    // they are not listed any more
	Changed = "changed" // others are listed in their place
)

// Change is an epoch of which other names are listed than were on record.
type Change struct {
	Epoch    uint64              `json:"epoch"`
	Change   string              `json:"change"`
	Recorded []verdict.ChainName `json:"recorded"`
	Listed   []verdict.ChainName `json:"listed"`
}

// Text says what became of the name on record, as the end of a sentence.
func (c Change) Text() string {
	switch c.Change {
	case Came:
		return "was joined by another"
	case Went:
		return "is not listed any more"
	}
	return "was replaced by another"
}

// changeEvidence shows that names on record have changed. It follows from what was on record and
// what is listed, so that whoever finds the same writes the same bytes.
type changeEvidence struct {
	Shard      uint64   `json:"shard"`
	Generation uint64   `json:"generation"` // of the names on record
	SHA256     string   `json:"sha256"`     // of their object
	Changes    []Change `json:"changes"`
	More       int      `json:"more,omitempty"`
}

// changesBetween returns the epochs of which names on record have changed. A name of an epoch that
// had none is no change: it was late.
func changesBetween(on, listed verdict.ChainPiece) []Change {
	now := map[uint64][]verdict.ChainName{}
	listed.Names(func(epoch uint64, names []verdict.ChainName) { now[epoch] = names })
	var all []Change
	on.Names(func(epoch uint64, recorded []verdict.ChainName) {
		names := now[epoch]
		missing := slices.ContainsFunc(recorded, func(n verdict.ChainName) bool { return !slices.Contains(names, n) })
		c := Change{Epoch: epoch, Recorded: recorded, Listed: names}
		switch {
		case len(names) == 0:
			c.Change, c.Listed = Went, []verdict.ChainName{}
		case missing && len(names) < len(recorded) && !slices.ContainsFunc(names, func(n verdict.ChainName) bool { return !slices.Contains(recorded, n) }):
			c.Change = Went // one of several
		case missing:
			c.Change = Changed
		case len(names) > len(recorded):
			c.Change = Came
		default:
			return
		}
		all = append(all, c)
	})
	return all
}

// compare holds the names of a shard against those on record. It raises what has changed, and
// reports whether the names may be recorded in their place.
func (k *walk) compare(ctx context.Context, on verdict.ChainPiece, generation uint64, hash string, listed verdict.ChainPiece) (bool, error) {
	changes := changesBetween(on, listed)
	if len(changes) == 0 {
		return true, nil
	}
	k.mu.Lock()
	k.accused++
	enough := k.accused > maxAccused || generation >= auditstore.MaxChainGenerations
	k.mu.Unlock()
	confirmed := false
	if !enough {
		var err error
		if confirmed, err = k.stayGone(ctx, changes); err != nil {
			return false, err
		}
	}
	if confirmed {
		return true, k.raiseChange(ctx, on, generation, hash, changes)
	}
	k.mu.Lock()
	if k.result.Unconfirmed++; !enough && k.result.Unconfirmed < maxUnconfirmed {
		k.accused-- // lest what the log lists now and then keep the walk from telling of others
	}
	k.mu.Unlock()
	k.Logger.Warn().Uint64("shard", on.Shard).Uint64("epoch", changes[0].Epoch).Bool("looked_again", !enough).
		Msg("names on record are not listed or are listed otherwise: not confirmed, so the record stays and the next walk looks again")
	// That a name is listed beside another on record, or in its place, needs no confirmation.
	changes = slices.DeleteFunc(changes, func(c Change) bool { return c.Change == Went })
	if enough || len(changes) == 0 {
		return false, nil
	}
	return false, k.raiseChange(ctx, on, generation, hash, changes)
}

// stayGone looks for a few of the epochs whose names are missing, several times, and reports
// whether none of them is there, by the log's own answers. Absence alone says little: a listing may
// have been kept by a cache, or lag behind.
func (k *walk) stayGone(ctx context.Context, changes []Change) (bool, error) {
	gone := slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return c.Change != Went })
	if n := len(gone); n > maxLookedFor {
		gone = []Change{gone[0], gone[n/2], gone[n-1]}
	}
	for i := range 1 + k.Rechecks { // at once, which costs little where they are there, and later
		if len(gone) == 0 {
			break
		}
		if i > 0 {
			if err := wait.For(ctx, k.RecheckPause); err != nil {
				return false, err
			}
		}
		for _, c := range gone {
			there, fresh, err := k.isListed(ctx, c)
			if err != nil || there || !fresh {
				return false, err
			}
		}
	}
	return true, nil
}

// isListed reports whether a name that was on record, and not among those that were listed, is
// listed now, and whether the answers were the log's own and not kept by a cache.
func (k *walk) isListed(ctx context.Context, c Change) (found, fresh bool, err error) {
	var f s3list.Freshness
	for _, prefix := range []string{fmt.Sprintf("%d/", c.Epoch), fmt.Sprintf("+%d/", c.Epoch)} {
		err := k.lister.watched(ctx, prefix, blob.FirstPageToken, &f, func(page []*blob.ListObject, _ []byte) (bool, error) {
			for _, o := range page {
				name, _, ok := readKey(o.Key)
				n := pair{name.PreviousDigest, name.Digest}.name()
				found = found || ok && slices.Contains(c.Recorded, n) && !slices.Contains(c.Listed, n)
			}
			return !found, nil
		})
		if err != nil || found {
			return found, f.Fresh(), err
		}
	}
	return false, f.Fresh(), nil
}

// raiseChange puts evidence on record that names have changed, and then raises an alert. A crash
// between the two is repaired by the next walk, see record.
func (k *walk) raiseChange(ctx context.Context, on verdict.ChainPiece, generation uint64, hash string, changes []Change) error {
	e := changeEvidence{Shard: on.Shard, Generation: generation, SHA256: hash, Changes: changes}
	if len(changes) > maxChanges {
		e.Changes, e.More = changes[:maxChanges], len(changes)-maxChanges
	}
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	first := changes[0]
	k.Logger.Error().Uint64("epoch", first.Epoch).Str("change", first.Change).Int("epochs", len(changes)).
		Msg("names on record have changed: the log directory is not what it was")
	evidence := incident.Evidence{Kind: "names-changed", Data: data, Extension: ".json"}
	concern := incident.Concern{
		Epoch: first.Epoch, Reason: verdict.Equivocation, Detail: "names on record have changed",
		Batches: batchesNamed(first.Epoch, append(slices.Clone(first.Listed), first.Recorded...)),
	}
	if err := k.recorder().PutEvidenceOn(ctx, k.Namespace, concern, evidence); err != nil {
		return err
	}
	k.mu.Lock()
	k.result.Changes = append(k.result.Changes, e.Changes[:min(len(e.Changes), max(0, maxChanges-len(k.result.Changes)))]...)
	k.mu.Unlock()
	if told, err := k.areWithdrawn(ctx, changes); err != nil || told {
		return err
	}
	detail := fmt.Sprintf("epoch %d: recorded %s, listed now %s; epochs of the shard that differ: %d",
		first.Epoch, namesText(first.Recorded), namesText(first.Listed), len(changes))
	return k.incidents.Raise(ctx, alert.OfNamesChanged(k.Namespace, first.Epoch, first.Change, first.Text(), detail, evidence.Name()))
}

// areWithdrawn reports whether all changes are of names that went, and an incident is open that
// says of each of their epochs that its batch is gone: that is one thing, and told.
func (k *walk) areWithdrawn(ctx context.Context, changes []Change) (bool, error) {
	if slices.ContainsFunc(changes, func(c Change) bool { return c.Change != Went || len(c.Listed) > 0 }) {
		return false, nil
	}
	list, err := incident.ReadList(ctx, k.Store, k.Namespace)
	if err != nil {
		return false, err
	}
	untold := func(c Change) bool {
		return !slices.ContainsFunc(list.Open, func(o incident.Open) bool {
			return o.Kind == alert.Withdrawn && o.From <= c.Epoch && c.Epoch <= o.To
		})
	}
	return !slices.ContainsFunc(changes, untold), nil
}

// maxNamesTold is how many names of an epoch an alert has: two show that there are several.
const maxNamesTold = 2

func namesText(names []verdict.ChainName) string {
	if len(names) == 0 {
		return "nothing"
	}
	var texts []string
	for _, n := range names[:min(len(names), maxNamesTold)] {
		texts = append(texts, n.PreviousDigest+"/"+n.Digest)
	}
	told := strings.Join(texts, " and ")
	if more := len(names) - len(texts); more > 0 {
		told += fmt.Sprintf(" and %d more", more)
	}
	return told
}
