package verdict

import "fmt"

// History sums up the seals of a namespace, so that millions of epochs are read as one object. It
// holds nothing that the seals don't, and may be made from them again.
//
// Each is written once, as the next generation, so that of two writers one learns that it was too
// late. The newest counts. Older ones are removed where the store allows it; the names count down,
// so that a listing begins with the newest in any case.
type History struct {
	Schema     int          `json:"schema"`
	Namespace  string       `json:"namespace"`
	Generation uint64       `json:"generation"` // 0: nothing was sealed yet
	Spans      []SealedSpan `json:"spans"`      // ascending; no two of them touch
}

// Shards is how many shards are sealed.
func (h History) Shards() (n int) {
	for _, s := range h.Spans {
		n += len(s.Seals)
	}
	return n
}

// SealedSpan is a run of sealed shards.
type SealedSpan struct {
	Span
	Seals []string `json:"seals"` // the SHA-256 of the shards' seals, hexadecimal, in order
}

// First and Last are the span's first and last shard.
func (s SealedSpan) First() uint64 { return s.From / EpochsPerShard }
func (s SealedSpan) Last() uint64  { return s.To / EpochsPerShard }

// Validate returns what is wrong with a history that was read, or nil.
func (h History) Validate() error {
	if h.Schema != Schema {
		return fmt.Errorf("schema %d: this program knows schema %d", h.Schema, Schema)
	}
	end := uint64(0)
	for i, s := range h.Spans {
		from, _ := ShardRange(s.First())
		_, to := ShardRange(s.Last())
		if s.From != from || s.To != to || s.To < s.From || s.To > MaxEpoch || i > 0 && s.From <= end+1 {
			return fmt.Errorf("epochs %d to %d are no shards after epoch %d", s.From, s.To, end)
		}
		if uint64(len(s.Seals)) != s.Last()-s.First()+1 {
			return fmt.Errorf("%d seals of epochs %d to %d", len(s.Seals), s.From, s.To)
		}
		for _, seal := range s.Seals {
			if !isHex(seal, 64) {
				return fmt.Errorf("seal %.80q", seal)
			}
		}
		if err := s.Validate(); err != nil {
			return err
		}
		end = s.To
	}
	return nil
}
