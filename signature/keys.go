package signature

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"

	"filippo.io/edwards25519"
)

// Keys are the trusted verifying keys. The zero value trusts none. Several keys may have the same
// key_id.
type Keys struct {
	keys []ed25519.PublicKey
}

// ParseKeys reads ed25519 verifying keys of 64 hexadecimal digits each. A key given twice counts
// once. It refuses keys that no honest signer has: encodings that are not canonical, and points of
// small order, under which one signature is valid for many messages.
func ParseKeys(texts []string) (Keys, error) {
	var k Keys
	for _, text := range texts {
		key, err := parseKey(text)
		if err != nil {
			return Keys{}, fmt.Errorf("verifying key %q: %w", text, err)
		}
		if !k.has(key) {
			k.keys = append(k.keys, key)
		}
	}
	return k, nil
}

func parseKey(text string) (ed25519.PublicKey, error) {
	if len(text) != 2*ed25519.PublicKeySize {
		return nil, fmt.Errorf("%d characters, want %d hexadecimal digits", len(text), 2*ed25519.PublicKeySize)
	}
	key, err := hex.DecodeString(text)
	if err != nil {
		return nil, err
	}
	return key, checkPoint(key)
}

func (k Keys) has(key ed25519.PublicKey) bool {
	for _, known := range k.keys {
		if known.Equal(key) {
			return true
		}
	}
	return false
}

// Len is the number of trusted keys.
func (k Keys) Len() int { return len(k.keys) }

// Verify checks that a trusted key with s.KeyID signed s. It returns ErrUnknownKey if there is no
// key with that key_id, ErrInvalid if none of them made the signature, ErrMalformed if s has no
// signed form; each wrapped.
func (k Keys) Verify(s SignedDigest) error {
	message, err := s.Message()
	if err != nil {
		return err
	}
	known := false
	for _, key := range k.keys {
		if key[len(key)-1] != s.KeyID {
			continue
		}
		if verifyStrict(key, message, s.Signature) {
			return nil
		}
		known = true
	}
	if !known {
		return fmt.Errorf("%w: epoch %d: key_id %d", ErrUnknownKey, s.Epoch, s.KeyID)
	}
	return fmt.Errorf("%w: epoch %d: key_id %d", ErrInvalid, s.Epoch, s.KeyID)
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
