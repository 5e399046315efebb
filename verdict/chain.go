package verdict

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ChainPiece is what a log listed of the epochs of one shard: names only, no batch was read. It
// follows from the names alone, so that whoever walks the log again and is shown the same writes
// the same bytes, and so that bytes that differ show that a name came, went or changed. Each
// version is written once, as the next generation of its shard.
type ChainPiece struct {
	Schema    int    `json:"schema"`
	Namespace string `json:"namespace"`
	Shard     uint64 `json:"shard"`
	// Runs are the epochs that have one batch each, ascending, and as long as each epoch follows
	// the one before and begins with its digest. Between two runs is a gap, a double or a break.
	Runs []ChainRun `json:"runs"`
	// Doubles are the epochs with more than one batch, ascending.
	Doubles []ChainDouble `json:"doubles,omitempty"`
}

// ChainRun is a run of epochs whose names continue each other.
type ChainRun struct {
	From           uint64 `json:"from"`
	To             uint64 `json:"to"`
	PreviousDigest string `json:"previous_digest"` // before From
	Digests        []byte `json:"digests"`         // 32 bytes after each epoch; base64 in JSON
}

// ChainDouble is an epoch with several batches, in the order of their names.
type ChainDouble struct {
	Epoch uint64      `json:"epoch"`
	Names []ChainName `json:"names"`
	More  int         `json:"more,omitempty"` // that are not among Names
}

// ChainName is what the name of a batch says beside the epoch.
type ChainName struct {
	PreviousDigest string `json:"previous_digest"`
	Digest         string `json:"digest"`
}

// SortNames returns the names in order, each once.
func SortNames(names []ChainName) []ChainName {
	names = slices.Clone(names)
	slices.SortFunc(names, func(a, b ChainName) int {
		return cmp.Or(cmp.Compare(a.PreviousDigest, b.PreviousDigest), cmp.Compare(a.Digest, b.Digest))
	})
	return slices.Compact(names)
}

// NamesText is the text of a set of names, the same in whatever order they come.
func NamesText(names []ChainName) string {
	var b strings.Builder
	for _, n := range SortNames(names) {
		fmt.Fprintf(&b, "%s/%s\n", n.PreviousDigest, n.Digest)
	}
	return b.String()
}

// MaxChainNames is how many names of one epoch a piece has.
const MaxChainNames = 16

// digestBytes is the size of a digest.
const digestBytes = 32

// Digest returns the digest after the run's epoch i, from 0.
func (r ChainRun) Digest(i int) string {
	return hex.EncodeToString(r.Digests[digestBytes*i : digestBytes*(i+1)])
}

// Names calls each with every epoch that has a name, ascending, and its names.
func (p ChainPiece) Names(each func(epoch uint64, names []ChainName)) {
	doubles := p.Doubles
	for _, r := range p.Runs {
		for len(doubles) > 0 && doubles[0].Epoch < r.From {
			each(doubles[0].Epoch, doubles[0].Names)
			doubles = doubles[1:]
		}
		previous := r.PreviousDigest
		for i := range r.To - r.From + 1 {
			digest := r.Digest(int(i))
			each(r.From+i, []ChainName{{previous, digest}})
			previous = digest
		}
	}
	for _, d := range doubles {
		each(d.Epoch, d.Names)
	}
}

// Validate returns what is wrong with a piece that was read, or nil.
func (p ChainPiece) Validate() error {
	if p.Schema != Schema {
		return fmt.Errorf("schema %d: this program knows schema %d", p.Schema, Schema)
	}
	from, to := ShardRange(p.Shard)
	next := from
	for i, r := range p.Runs {
		if r.From < next || r.To < r.From || r.To > to || uint64(len(r.Digests)) != digestBytes*(r.To-r.From+1) || !isHex(r.PreviousDigest, 64) {
			return fmt.Errorf("run %d, epochs %d to %d with %d bytes of digests, is out of place", i, r.From, r.To, len(r.Digests))
		}
		next = r.To + 1
	}
	next = from
	runs := p.Runs
	for _, d := range p.Doubles {
		for len(runs) > 0 && runs[0].To < d.Epoch {
			runs = runs[1:]
		}
		if d.Epoch < next || d.Epoch > to || len(runs) > 0 && runs[0].From <= d.Epoch {
			return fmt.Errorf("epoch %d with several names is out of place", d.Epoch)
		}
		if len(d.Names) < 2 || len(d.Names) > MaxChainNames || d.More < 0 {
			return fmt.Errorf("epoch %d: %d names and %d more", d.Epoch, len(d.Names), d.More)
		}
		for _, n := range d.Names {
			if !isHex(n.PreviousDigest, 64) || !isHex(n.Digest, 64) {
				return fmt.Errorf("epoch %d: digests %.80q and %.80q", d.Epoch, n.PreviousDigest, n.Digest)
			}
		}
		next = d.Epoch + 1
	}
	return nil
}

// Entry sums the piece up for a Chain.
func (p ChainPiece) Entry() ChainEntry {
	e := ChainEntry{Shard: p.Shard}
	for _, r := range p.Runs {
		e.Runs = append(e.Runs, ChainSpan{r.From, r.To, r.PreviousDigest, r.Digest(int(r.To - r.From))})
	}
	for _, d := range p.Doubles {
		e.Doubles = append(e.Doubles, d.Epoch)
	}
	return e
}

// Chain sums up what walks of a log's names found. Like a History it is written as the next
// generation each time, and holds nothing that another walk would not find again.
type Chain struct {
	Schema     int    `json:"schema"`
	Namespace  string `json:"namespace"`
	Generation uint64 `json:"generation"` // 0: the log was never walked
	// WalkedAt is when the last walk of the whole log began.
	WalkedAt time.Time    `json:"walked_at"`
	Shards   []ChainEntry `json:"shards"` // ascending
	// Far are names of epochs so far from the others that they are not taken for history.
	Far ChainFar `json:"far,omitzero"`
	// Strays are keys that are no batch of an epoch.
	Strays ChainStrays `json:"strays,omitzero"`
}

// ChainEntry is a shard of a Chain: the piece that is on record of it, if there is one, and what it
// says but for the digests within the runs.
type ChainEntry struct {
	Shard      uint64      `json:"shard"`
	Generation uint64      `json:"generation,omitempty"` // of the piece; 0: none is on record yet
	SHA256     string      `json:"sha256,omitempty"`     // of the piece's object, hexadecimal
	Runs       []ChainSpan `json:"runs,omitempty"`
	Doubles    []uint64    `json:"doubles,omitempty"`
}

// Epochs is how many epochs have a name.
func (e ChainEntry) Epochs() uint64 {
	n := uint64(len(e.Doubles))
	for _, r := range e.Runs {
		n += r.To - r.From + 1
	}
	return n
}

// Bounds are the first and the last epoch with a name. There must be one.
func (e ChainEntry) Bounds() (first, last uint64) {
	first = MaxEpoch
	if len(e.Runs) > 0 {
		first, last = e.Runs[0].From, e.Runs[len(e.Runs)-1].To
	}
	if n := len(e.Doubles); n > 0 {
		first, last = min(first, e.Doubles[0]), max(last, e.Doubles[n-1])
	}
	return first, last
}

// ChainSpan is a run of epochs with one batch each, whose names continue each other.
type ChainSpan struct {
	From           uint64 `json:"from"`
	To             uint64 `json:"to"`
	PreviousDigest string `json:"previous_digest"` // before From
	Digest         string `json:"digest"`          // after To
}

// ChainFar are epochs that a log names far from all others.
type ChainFar struct {
	Count uint64 `json:"count"`
	From  uint64 `json:"from"`
	To    uint64 `json:"to"`
}

// ChainStrays are keys that are no batch of an epoch.
type ChainStrays struct {
	Count uint64 `json:"count"`
	// Epochs are those that the keys are under, as ranges, ascending; a bounded number of them.
	Epochs []ChainRange `json:"epochs,omitempty"`
	// Keys are some of them, made safe and cut.
	Keys []string `json:"keys,omitempty"`
}

// ChainRange is a run of epochs, both ends included.
type ChainRange struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// Find returns the entry of a shard, or a zero one.
func (c Chain) Find(shard uint64) ChainEntry {
	if i, found := c.find(shard); found {
		return c.Shards[i]
	}
	return ChainEntry{Shard: shard}
}

// DigestsAt returns, by their names, the digest that the epoch before ends with and the one that an
// epoch begins with, each empty if it is not known.
func (c Chain) DigestsAt(epoch uint64) (before, begin string) {
	for _, r := range c.Find((epoch - 1) / EpochsPerShard).Runs {
		if r.To == epoch-1 {
			before = r.Digest
		}
	}
	for _, r := range c.Find(epoch / EpochsPerShard).Runs {
		if r.From == epoch {
			begin = r.PreviousDigest
		}
	}
	return before, begin
}

// Validate returns what is wrong with a chain that was read, or nil.
func (c Chain) Validate() error {
	if c.Schema != Schema {
		return fmt.Errorf("schema %d: this program knows schema %d", c.Schema, Schema)
	}
	for i, e := range c.Shards {
		if i > 0 && e.Shard <= c.Shards[i-1].Shard {
			return fmt.Errorf("shard %d after shard %d", e.Shard, c.Shards[i-1].Shard)
		}
		if err := e.validate(); err != nil {
			return err
		}
	}
	return nil
}

func (e ChainEntry) validate() error {
	from, to := ShardRange(e.Shard)
	if (e.Generation == 0) != (e.SHA256 == "") || e.SHA256 != "" && !isHex(e.SHA256, 64) {
		return fmt.Errorf("shard %d: generation %d with the hash %.80q", e.Shard, e.Generation, e.SHA256)
	}
	next := from
	for _, r := range e.Runs {
		if r.From < next || r.To < r.From || r.To > to || !isHex(r.PreviousDigest, 64) || !isHex(r.Digest, 64) {
			return fmt.Errorf("shard %d: epochs %d to %d are out of place", e.Shard, r.From, r.To)
		}
		next = r.To + 1
	}
	next = from
	for _, epoch := range e.Doubles {
		if epoch < next || epoch > to {
			return fmt.Errorf("shard %d: epoch %d is out of place", e.Shard, epoch)
		}
		next = epoch + 1
	}
	return nil
}
