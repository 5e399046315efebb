package bundle

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/jobs/evidence"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

// maxSigned bounds the different signed digests of a bundle, maxProofs what is said of them.
const maxSigned, maxProofs = 1000, 20

// Signed is a signed digest of the bundle.
type Signed struct {
	Epoch     uint64 `json:"epoch"` // that it was kept for
	Digest    string `json:"digest,omitempty"`
	KeyID     uint8  `json:"key_id"`
	Key       string `json:"key,omitempty"`       // that signed it, hexadecimal; empty if it is not valid
	Timestamp uint64 `json:"timestamp,omitempty"` // milliseconds since 1970
	// Error is why it is not valid; empty if a key that is trusted for the epoch signed it.
	Error string `json:"error,omitempty"`

	unknown bool // no key for the epoch has its key_id, which says nothing against it
}

// signed checks every signed digest, each once.
func (v *verification) signed(m Manifest, keys signature.Keys) (all []Signed, err error) {
	add := func(data []byte, epoch uint64) {
		if s := checkSigned(data, m.Namespace, epoch, keys); len(all) <= maxSigned && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	for file, data := range sorted(v.small) {
		dir, name := path.Split(file)
		switch {
		case dir == signedDir+"/":
			if epoch, err := strconv.ParseUint(strings.TrimSuffix(name, ".json"), 10, 64); err == nil {
				add(data, epoch)
			}
		case dir != evidenceDir+"/":
		case strings.HasPrefix(name, "signed-digest-before-"):
			add(data, m.Epoch-1)
		case strings.HasPrefix(name, "signed-digest-"), strings.HasPrefix(name, "signature-"):
			add(data, m.Epoch)
		case strings.HasPrefix(name, evidence.Kind+"-"):
			var f evidence.Findings
			if json.Unmarshal(data, &f) != nil {
				continue
			}
			for _, s := range f.SignedDigests[:min(len(f.SignedDigests), maxSigned)] {
				if len(s.Data) > 0 {
					add(s.Data, s.Epoch)
				}
			}
		}
		if len(all) > maxSigned {
			return nil, unreadable(fmt.Errorf("more than %d different signed digests", maxSigned))
		}
	}
	return all, nil
}

func checkSigned(data []byte, namespace string, epoch uint64, keys signature.Keys) Signed {
	s := Signed{Epoch: epoch}
	var key ed25519.PublicKey
	parsed, err := signature.Parse(data)
	if err == nil {
		s.Digest, s.KeyID, s.Timestamp = validator.Digest(parsed.Digest).String(), parsed.KeyID, parsed.Timestamp
		key, err = keys.Signer(parsed)
		s.unknown = errors.Is(err, signature.ErrUnknownKey)
	}
	if err == nil {
		err = signature.Check(parsed, namespace, epoch, parsed.Digest)
	}
	if err != nil {
		s.Error = text.Clean(err.Error(), maxText)
		return s
	}
	s.Key = hex.EncodeToString(key)
	return s
}

// contradiction is two valid signed digests that cannot both be of an honest log, if they convict.
// Whoever made the bundle, nobody without the keys can have made them. A batch adds nothing to
// that: to the digest of a batch that was published anybody can make another batch, from another
// one.
type contradiction struct {
	reason verdict.Reason
	epochs [2]uint64
	// digests are those of the two, in order.
	digests [2]string
	text    string
}

// convicts reports whether no honest log signs both. One may sign an epoch again, as with a new
// key, so that of times alone whoever has both of its signatures can make up an order.
func (c contradiction) convicts() bool { return c.reason != verdict.SignatureInvalid }

func contradictionsOf(signed []Signed) (all []contradiction) {
	valid := slices.DeleteFunc(slices.Clone(signed), func(s Signed) bool { return s.Error != "" })
	slices.SortStableFunc(valid, func(a, b Signed) int { return int(int64(a.Epoch) - int64(b.Epoch)) })
	for i, a := range valid {
		for _, b := range valid[i+1:] {
			epochs, digests := [2]uint64{a.Epoch, b.Epoch}, [2]string{min(a.Digest, b.Digest), max(a.Digest, b.Digest)}
			switch {
			case a.Epoch == b.Epoch && a.Digest != b.Digest:
				all = append(all, contradiction{verdict.Equivocation, epochs, digests, fmt.Sprintf(
					"two digests are signed for epoch %d: %s by key %s, and %s by key %s", a.Epoch, a.Digest, a.Key, b.Digest, b.Key) + bySeveral(a, b)})
			case a.Epoch != b.Epoch && a.Digest == b.Digest:
				all = append(all, contradiction{verdict.DigestReused, epochs, digests, fmt.Sprintf(
					"the same digest %s is signed for epoch %d by key %s, and for epoch %d by key %s", a.Digest, a.Epoch, a.Key, b.Epoch, b.Key) + bySeveral(a, b)})
			case a.Epoch+1 == b.Epoch && b.Timestamp < a.Timestamp:
				all = append(all, contradiction{verdict.SignatureInvalid, epochs, digests, fmt.Sprintf(
					"epoch %d was signed at %d ms by key %s, before epoch %d, which was signed at %d ms by key %s and may have been signed again",
					b.Epoch, b.Timestamp, b.Key, a.Epoch, a.Timestamp, a.Key)})
			}
			if len(all) == maxSigned {
				return all
			}
		}
	}
	return all
}

// bySeveral says what follows of statements under two keys, which may be of two signers.
func bySeveral(a, b Signed) string {
	if a.Key == b.Key {
		return ""
	}
	return ". If the keys are of two signers, the log showed them two histories, or one of the two signed what it was not shown"
}

// signedAgainst returns what signed digests alone show of two epochs.
func (c *Checked) signedAgainst(reason verdict.Reason, first, second uint64) (string, Result, bool) {
	for _, found := range c.contradictions {
		if found.reason != reason || found.epochs != [2]uint64{first, second} {
			continue
		}
		return c.shownBy(found)
	}
	return "", NotShown, false
}

func (c *Checked) shownBy(found contradiction) (string, Result, bool) {
	if c.OwnKeys && found.convicts() {
		return found.text, Proven, true
	}
	if c.OwnKeys {
		return found.text, Shown, true
	}
	return "if these keys, which the bundle brings itself, are the log's: " + found.text, Shown, true
}
