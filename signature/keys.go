package signature

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"filippo.io/edwards25519"
)

// Keys are the trusted verifying keys, each for a range of epochs. The zero value trusts none.
// Ranges of different keys may overlap, and several keys may have the same key_id.
type Keys struct {
	keys []rangedKey
}

// rangedKey is a key that is trusted for the epochs from from to to, both included.
type rangedKey struct {
	public   ed25519.PublicKey
	from, to uint64
}

// ParseKeys reads ed25519 verifying keys of 64 hexadecimal digits each. One that is trusted for
// some epochs only is followed by "@FROM-TO", both included; FROM or TO may be left out.
//
// A key given twice counts once; one given twice for overlapping ranges that differ is refused, for
// one of them is a mistake. So are keys that no honest signer has: encodings that are not
// canonical, and points of small order, under which one signature is valid for many messages.
func ParseKeys(texts []string) (Keys, error) {
	var k Keys
	for _, text := range texts {
		key, err := parseKey(text)
		if err == nil {
			err = k.add(key)
		}
		if err != nil {
			return Keys{}, fmt.Errorf("verifying key %q: %w", text, err)
		}
	}
	return k, nil
}

func parseKey(text string) (rangedKey, error) {
	key := rangedKey{to: math.MaxUint64}
	text, epochs, ranged := strings.Cut(text, "@")
	if len(text) != 2*ed25519.PublicKeySize {
		return key, fmt.Errorf("%d characters, want %d hexadecimal digits", len(text), 2*ed25519.PublicKeySize)
	}
	var err error
	if key.public, err = hex.DecodeString(text); err != nil {
		return key, err
	}
	if err := checkPoint(key.public); err != nil || !ranged {
		return key, err
	}
	key.from, key.to, err = parseRange(epochs)
	return key, err
}

// parseRange reads "FROM-TO", "FROM-" or "-TO".
func parseRange(text string) (from, to uint64, err error) {
	first, last, _ := strings.Cut(text, "-")
	to = math.MaxUint64
	if first != "" {
		from, err = strconv.ParseUint(first, 10, 64)
	}
	if last != "" && err == nil {
		to, err = strconv.ParseUint(last, 10, 64)
	}
	switch {
	case err != nil || first == "" && last == "" || !strings.Contains(text, "-"):
		return 0, 0, fmt.Errorf("epochs %.60q: want FROM-TO, FROM- or -TO, such as 331-", text)
	case from > to:
		return 0, 0, fmt.Errorf("epoch %d is after epoch %d", from, to)
	}
	return from, to, nil
}

func (k *Keys) add(key rangedKey) error {
	for _, known := range k.keys {
		switch {
		case !known.public.Equal(key.public) || known.to < key.from || key.to < known.from:
		case known.from == key.from && known.to == key.to:
			return nil
		default:
			return errors.New("the same key is given for other epochs that overlap these: give it one range")
		}
	}
	k.keys = append(k.keys, key)
	return nil
}

// Len is the number of trusted keys.
func (k Keys) Len() int { return len(k.keys) }

// Verify checks that a key with s.KeyID that is trusted for s.Epoch signed s. It returns
// ErrUnknownKey if there is no such key, ErrInvalid if none of them made the signature,
// ErrMalformed if s has no signed form; each wrapped.
func (k Keys) Verify(s SignedDigest) error {
	_, err := k.Signer(s)
	return err
}

// Signer is Verify, and returns the key that signed s.
func (k Keys) Signer(s SignedDigest) (ed25519.PublicKey, error) {
	message, err := s.Message()
	if err != nil {
		return nil, err
	}
	known := false
	outside := ""
	for _, key := range k.keys {
		switch {
		case key.public[len(key.public)-1] != s.KeyID:
		case s.Epoch < key.from || s.Epoch > key.to:
			outside = ", of a key that is not trusted for that epoch"
		case verifyStrict(key.public, message, s.Signature):
			return key.public, nil
		default:
			known = true
		}
	}
	if !known {
		return nil, fmt.Errorf("%w: epoch %d: key_id %d (%02x)%s", ErrUnknownKey, s.Epoch, s.KeyID, s.KeyID, outside)
	}
	return nil, fmt.Errorf("%w: epoch %d: key_id %d", ErrInvalid, s.Epoch, s.KeyID)
}

// verifyStrict accepts what ed25519-dalek's verify_strict accepts, given a key that passed
// checkPoint.
//
// crypto/ed25519 already refuses s ≥ L, and an R that is not canonical, because it compares R with
// a fresh encoding. It lets points of small order pass; those are what checkPoint is for.
func verifyStrict(key ed25519.PublicKey, message []byte, signature [ed25519.SignatureSize]byte) bool {
	return checkPoint(signature[:32]) == nil && ed25519.Verify(key, message, signature[:])
}

// checkPoint refuses encodings that are not a point, not the point's canonical encoding, or a point
// of small order: one that is the identity once multiplied by the cofactor, eight.
func checkPoint(encoding []byte) error {
	point, err := new(edwards25519.Point).SetBytes(encoding)
	if err != nil {
		return err
	}
	if !bytes.Equal(point.Bytes(), encoding) {
		return fmt.Errorf("not the canonical encoding of its point")
	}
	if new(edwards25519.Point).MultByCofactor(point).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return fmt.Errorf("a point of small order")
	}
	return nil
}
