package chain

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
)

const (
	// maxLenient is how many names may be written in a way that only lenient readers take.
	maxLenient = 100_000
	// maxPending is how many bytes the names of shards may take that are not whole.
	maxPending = 48 << 20
	// maxStrayKeys and maxStrayRanges bound what is kept of keys that are no batch, maxStrayEpochs
	// what is remembered of them on the way.
	maxStrayKeys, maxStrayRanges, maxStrayEpochs = 20, 100, 10_000
)

// bounds is what a walk keeps in memory: tests make it small.
type bounds struct {
	lenient int // maxLenient
	pending int // maxPending
}

// collector sorts a listing's keys into shards. A listing is in the order of texts: "1/", "10/",
// "100/", …, "1000000/", …, "2/". Epochs of as many digits come in their own order, and those of a
// shard but the first have as many digits. So a shard is complete as soon as the next one of as
// many digits begins, and few are incomplete at a time. The epochs of the first shard, and names
// that write an epoch otherwise, are kept until the end.
type collector struct {
	namespace string
	wanted    func(shard uint64) bool              // nil: all
	finished  func(piece verdict.ChainPiece) error // called for each shard that has names, once

	lenientMost int // how many lenient names it takes

	mu         sync.Mutex
	first      *shardNames
	lenient    map[uint64][]validator.Name // by shard
	lenientAll int
	strays     verdict.ChainStrays
	strayUnder []uint64
	names      uint64
	highest    uint64
}

// part is a part of a listing, of keys that begin with the same digit.
type part struct {
	*collector
	current map[int]*shardNames // by the number of the epoch's digits
}

func (c *collector) part() *part { return &part{c, map[int]*shardNames{}} }

func (c *collector) wants(shard uint64) bool { return c.wanted == nil || c.wanted(shard) }

// add takes in a page of keys.
func (p *part) add(page []*blob.ListObject) error {
	for _, o := range page {
		name, canonical, ok := readKey(o.Key)
		if !ok {
			if !isFolder(o) {
				p.addStray(o.Key)
			}
			continue
		}
		if err := p.addName(name, canonical); err != nil {
			return err
		}
	}
	return nil
}

func (p *part) addName(name validator.Name, canonical bool) error {
	shard := name.Epoch / verdict.EpochsPerShard
	if !p.wants(shard) {
		return nil
	}
	p.mu.Lock()
	p.names++
	p.highest = max(p.highest, name.Epoch)
	switch {
	case !canonical:
		defer p.mu.Unlock()
		if p.lenientAll++; p.lenientAll > p.lenientMost {
			return fmt.Errorf("more than %d names write their epoch with a plus sign or leading zeros: the log's names cannot be sorted in bounded memory", p.lenientMost)
		}
		if p.lenient == nil {
			p.lenient = map[uint64][]validator.Name{}
		}
		p.lenient[shard] = append(p.lenient[shard], name)
		return nil
	case shard == 0:
		defer p.mu.Unlock()
		if p.first == nil {
			p.first = &shardNames{}
		}
		p.first.add(name.Epoch, pair{name.PreviousDigest, name.Digest})
		return nil
	}
	p.mu.Unlock()
	digits := digitsOf(shard)
	open := p.current[digits]
	if open == nil || open.shard != shard {
		if err := p.finish(open); err != nil {
			return err
		}
		open = &shardNames{shard: shard}
		p.current[digits] = open
	}
	open.add(name.Epoch, pair{name.PreviousDigest, name.Digest})
	return nil
}

// end finishes the shards that the end of the part completes.
func (p *part) end() error {
	for _, open := range p.current {
		if err := p.finish(open); err != nil {
			return err
		}
	}
	p.current = nil
	return nil
}

// finish adds to a shard the names that write its epochs otherwise, and passes it on. Those all
// come before the first key that begins with a digit from 1 to 9.
func (c *collector) finish(s *shardNames) error {
	if s == nil {
		return nil
	}
	c.mu.Lock()
	for _, name := range c.lenient[s.shard] {
		s.add(name.Epoch, pair{name.PreviousDigest, name.Digest})
	}
	delete(c.lenient, s.shard)
	c.mu.Unlock()
	return c.finished(s.piece(c.namespace))
}

// end finishes the first shard, and those of which there are only names that write the epoch
// otherwise.
func (c *collector) end() error {
	if err := c.finish(c.first); err != nil {
		return err
	}
	c.first = nil
	for shard := range c.lenient {
		if err := c.finish(&shardNames{shard: shard}); err != nil {
			return err
		}
	}
	return nil
}

func (c *collector) addStray(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.strays.Count++
	if len(c.strays.Keys) < maxStrayKeys {
		c.strays.Keys = append(c.strays.Keys, text.Clean(key, maxShown))
	}
	folder, _, inFolder := strings.Cut(key, "/")
	if epoch, err := validator.ParseEpoch(folder[:min(len(folder), 20)]); inFolder && err == nil && epoch <= verdict.MaxEpoch && len(c.strayUnder) < maxStrayEpochs {
		if n := len(c.strayUnder); n == 0 || c.strayUnder[n-1] != epoch {
			c.strayUnder = append(c.strayUnder, epoch)
		}
	}
}

// foundStrays returns what was found of keys that are no batch.
func (c *collector) foundStrays() verdict.ChainStrays {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.strays
	slices.Sort(s.Keys)
	slices.Sort(c.strayUnder)
	for _, epoch := range slices.Compact(c.strayUnder) {
		if n := len(s.Epochs); n > 0 && s.Epochs[n-1].To+1 == epoch {
			s.Epochs[n-1].To = epoch
		} else if n < maxStrayRanges {
			s.Epochs = append(s.Epochs, verdict.ChainRange{From: epoch, To: epoch})
		}
	}
	return s
}

func (c *collector) counts() (names, highest uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.names, c.highest
}
