package auditor

import (
	"crypto"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/signature"
)

// Key is an Ed25519 key that signs from a time on, until a later key's time.
type Key struct {
	Signer    crypto.Signer
	NotBefore time.Time
}

// Public is the key's verifying key in 64 hexadecimal digits.
func (k Key) Public() string {
	public, _ := k.Signer.Public().(ed25519.PublicKey)
	return hex.EncodeToString(public)
}

// keyring is all keys, those that sign now and those that did, in the order of their times.
type keyring struct {
	keys    []Key
	trusted signature.Keys
}

func newKeyring(keys []Key) (keyring, error) {
	if len(keys) == 0 {
		return keyring{}, errors.New("no signing key")
	}
	k := keyring{keys: slices.Clone(keys)}
	slices.SortStableFunc(k.keys, func(a, b Key) int { return a.NotBefore.Compare(b.NotBefore) })
	var texts []string
	for i, key := range k.keys {
		public, ok := key.Signer.Public().(ed25519.PublicKey)
		switch {
		case !ok:
			return keyring{}, fmt.Errorf("signing key is of type %T, want Ed25519", key.Signer.Public())
		case i > 0 && key.NotBefore.Equal(k.keys[i-1].NotBefore):
			return keyring{}, fmt.Errorf("two signing keys begin at %s: give each a time of its own", key.NotBefore.UTC().Format(time.RFC3339))
		}
		// The published client takes the first key that has the key_id for the one that signed.
		for _, text := range texts {
			if id := fmt.Sprintf("%02x", public[len(public)-1]); strings.HasSuffix(text, id) {
				return keyring{}, fmt.Errorf("two signing keys have the key_id %s, their last byte, and clients cannot tell them apart: make another key", id)
			}
		}
		texts = append(texts, hex.EncodeToString(public))
	}
	var err error
	k.trusted, err = signature.ParseKeys(texts)
	return k, err
}

// at is the key that signs at a time.
func (k keyring) at(t time.Time) (Key, error) {
	for _, key := range slices.Backward(k.keys) {
		if !t.Before(key.NotBefore) {
			return key, nil
		}
	}
	return Key{}, fmt.Errorf("no signing key is in use at %s: the first begins at %s",
		t.UTC().Format(time.RFC3339), k.keys[0].NotBefore.UTC().Format(time.RFC3339))
}
