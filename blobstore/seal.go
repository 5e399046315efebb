package blobstore

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
)

// maxSealBytes caps a seal. One whose every epoch was rejected for a reason with a long name stays below a third of it.
const maxSealBytes = 512 << 10

// Span sums up the verdicts of a run of epochs each of which has one. Every epoch that is not among Rejected is verified.
type Span struct {
	From           uint64      `json:"from"`
	To             uint64      `json:"to"`
	PreviousDigest string      `json:"previous_digest,omitempty"` // before From; empty if From was rejected
	Digest         string      `json:"digest,omitempty"`          // after To; empty if To was rejected
	Rejected       []Rejection `json:"rejected,omitempty"`        // ascending
	// Breaks are the verified epochs that do not begin where the verified one before them, of this span too, ended. Ascending.
	Breaks []uint64 `json:"breaks,omitempty"`
}

// Rejection is an epoch that was rejected. Its verdict says more.
type Rejection struct {
	Epoch  uint64 `json:"epoch"`
	Reason string `json:"reason"`
}

// Epochs is how many epochs the span has.
func (s Span) Epochs() uint64 { return s.To - s.From + 1 }

// Join is the span of s and of next, which begins with the epoch after s.
func (s Span) Join(next Span) Span {
	joined := Span{
		From: s.From, To: next.To, PreviousDigest: s.PreviousDigest, Digest: next.Digest,
		Rejected: slices.Concat(s.Rejected, next.Rejected), Breaks: slices.Clone(s.Breaks),
	}
	if s.Digest != "" && next.PreviousDigest != "" && s.Digest != next.PreviousDigest {
		joined.Breaks = append(joined.Breaks, next.From)
	}
	joined.Breaks = append(joined.Breaks, next.Breaks...)
	return joined
}

// validate says what is wrong with a span that was read.
func (s Span) validate() error {
	rejected := func(epoch uint64) bool {
		_, found := slices.BinarySearchFunc(s.Rejected, epoch, func(r Rejection, e uint64) int { return cmp.Compare(r.Epoch, e) })
		return found
	}
	last := uint64(0)
	for _, r := range s.Rejected {
		if r.Epoch < s.From || r.Epoch > s.To || r.Epoch <= last || !reason.MatchString(r.Reason) {
			return fmt.Errorf("epochs %d to %d: rejected epoch %d with the reason %.80q is out of place", s.From, s.To, r.Epoch, r.Reason)
		}
		last = r.Epoch
	}
	last = s.From
	for _, epoch := range s.Breaks {
		if epoch <= last || epoch > s.To || rejected(epoch) {
			return fmt.Errorf("epochs %d to %d: break at epoch %d is out of place", s.From, s.To, epoch)
		}
		last = epoch
	}
	for _, end := range []struct {
		epoch  uint64
		digest string
	}{{s.From, s.PreviousDigest}, {s.To, s.Digest}} {
		if rejected(end.epoch) != (end.digest == "") || end.digest != "" && !hex32.MatchString(end.digest) {
			return fmt.Errorf("epochs %d to %d: digest %.80q at epoch %d", s.From, s.To, end.digest, end.epoch)
		}
	}
	return nil
}

// ShardRange returns the first and the last epoch of a shard. Epochs begin with 1.
func ShardRange(shard uint64) (from, to uint64) {
	return max(1, shard*EpochsPerShard), shard*EpochsPerShard + EpochsPerShard - 1
}

// Seal stands for the verdicts of a shard all of whose epochs have one. It follows from the verdicts alone, so that whoever seals
// a shard writes the same bytes, and so that bytes that differ show that a verdict did.
type Seal struct {
	Schema    int    `json:"schema"`
	Namespace string `json:"namespace"`
	Shard     uint64 `json:"shard"`
	Span
	// Verdicts are the SHA-256 of the verdicts' objects, hexadecimal, in the order of the epochs.
	Verdicts []string `json:"verdicts"`
	// Digests are the first sixteen digits of each epoch's digest, by which a digest that comes again is found; empty for an epoch
	// that was rejected.
	Digests []string `json:"digests"`
}

// digestPrefix is how many digits of a digest a seal has.
const digestPrefix = 16

var hex8 = regexp.MustCompile(`^[0-9a-f]{16}$`)

// Add appends an epoch's verdict, whose object has the given SHA-256, to a seal that was made by NewSeal. It is for the epochs of
// the shard in their order.
func (s *Seal) Add(v Verdict, object [sha256.Size]byte) {
	one := Span{From: v.Epoch, To: v.Epoch}
	digest := ""
	if v.Outcome == Verified {
		one.PreviousDigest, one.Digest, digest = v.PreviousDigest, v.Digest, v.Digest[:digestPrefix]
	} else {
		one.Rejected = []Rejection{{v.Epoch, v.Reason}}
	}
	if len(s.Verdicts) == 0 {
		s.Span = one
	} else {
		s.Span = s.Join(one)
	}
	s.Verdicts = append(s.Verdicts, hex.EncodeToString(object[:]))
	s.Digests = append(s.Digests, digest)
}

// NewSeal is the seal of a shard before its first verdict is added.
func NewSeal(namespace string, shard uint64) Seal {
	return Seal{Schema: Schema, Namespace: namespace, Shard: shard}
}

func (s Seal) validate() error {
	from, to := ShardRange(s.Shard)
	switch {
	case s.Schema != Schema:
		return fmt.Errorf("schema %d: this program knows schema %d", s.Schema, Schema)
	case s.From != from || s.To != to:
		return fmt.Errorf("epochs %d to %d are not those of shard %d", s.From, s.To, s.Shard)
	case uint64(len(s.Verdicts)) != s.Epochs() || uint64(len(s.Digests)) != s.Epochs():
		return fmt.Errorf("%d verdicts and %d digests of %d epochs", len(s.Verdicts), len(s.Digests), s.Epochs())
	}
	for i, v := range s.Verdicts {
		if !hex32.MatchString(v) || s.Digests[i] != "" && !hex8.MatchString(s.Digests[i]) {
			return fmt.Errorf("epoch %d: hash %.80q, digest %.80q", s.From+uint64(i), v, s.Digests[i])
		}
	}
	return s.Span.validate()
}

// PutSeal records a shard's seal, once, and returns the SHA-256 of its object, hexadecimal. ErrDiffers if another one is on record:
// then verdicts are not what they were when that one was made.
func (s *Store) PutSeal(ctx context.Context, seal Seal) (hash string, err error) {
	key, err := sealKey(seal.Namespace, seal.Shard)
	if err != nil {
		return "", err
	}
	if err := seal.validate(); err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	data, err := encodeLine(seal)
	if err != nil {
		return "", err
	}
	return hashText(data), s.putSame(ctx, key, data, maxSealBytes)
}

// Seal returns a shard's seal and the SHA-256 of its object, hexadecimal; ErrNotFound if the shard was not sealed.
func (s *Store) Seal(ctx context.Context, namespace string, shard uint64) (Seal, string, error) {
	key, err := sealKey(namespace, shard)
	if err != nil {
		return Seal{}, "", err
	}
	data, err := s.get(ctx, key, maxSealBytes)
	if err != nil {
		return Seal{}, "", err
	}
	var seal Seal
	err = decodeLine(key, data, &seal, &seal.Schema, func() error {
		if seal.Namespace != namespace || seal.Shard != shard {
			return fmt.Errorf("a seal of shard %d of %q", seal.Shard, seal.Namespace)
		}
		return seal.validate()
	})
	return seal, hashText(data), err
}

func sealKey(namespace string, shard uint64) (string, error) {
	if shard > MaxEpoch/EpochsPerShard {
		return "", fmt.Errorf("shard %d: the audit store's layout ends at %d", shard, uint64(MaxEpoch/EpochsPerShard))
	}
	return fmt.Sprintf("%s/%s/%09d.json", namespace, seals, shard), checkSegment("namespace", namespace)
}

func hashText(data []byte) string {
	hash := sha256.Sum256(data)
	return hex.EncodeToString(hash[:])
}

func encodeLine(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	return append(data, '\n'), err
}

// decodeLine reads an object of ours into v, whose schema is looked at before what check says.
func decodeLine(key string, data []byte, v any, schema *int, check func() error) error {
	err := json.NewDecoder(bytes.NewReader(data)).Decode(v)
	if *schema > Schema {
		return fmt.Errorf("%s: %w %d: this program knows schema %d", key, ErrNewerSchema, *schema, Schema)
	}
	if err == nil {
		err = check()
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w", key, ErrCorrupt, err)
	}
	return nil
}
