package signature_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/signature"
)

const namespace = "example.key-transparency.v1"

func key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func public(k ed25519.PrivateKey) string { return hex.EncodeToString(k[32:]) }

func sign(t *testing.T, k ed25519.PrivateKey, epoch uint64) signature.SignedDigest {
	t.Helper()
	s, err := signature.Sign(k, signature.CiphersuiteProtobuf, namespace, 1_700_000_000_000, epoch, [32]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKeyIsPickedByID(t *testing.T) {
	t.Parallel()
	s := sign(t, key(1), 5)
	if err := keys(t, public(key(2)), public(key(1))).Verify(s); err != nil {
		t.Errorf("among two keys: %v", err)
	}
	if err := keys(t, public(key(2))).Verify(s); !errors.Is(err, signature.ErrUnknownKey) {
		t.Errorf("another key: %v, want ErrUnknownKey", err)
	}
	if err := (signature.Keys{}).Verify(s); !errors.Is(err, signature.ErrUnknownKey) {
		t.Errorf("no key: %v, want ErrUnknownKey", err)
	}
	s.KeyID = key(2)[63]
	if err := keys(t, public(key(2)), public(key(1))).Verify(s); !errors.Is(err, signature.ErrInvalid) {
		t.Errorf("under the other key's key_id: %v, want ErrInvalid", err)
	}
}

func TestKeysWithRanges(t *testing.T) {
	t.Parallel()
	old, next := key(1), key(2)
	both := keys(t, public(old)+"@-330", public(next)+"@300-", public(next)+"@10-20")
	for _, c := range []struct {
		key   ed25519.PrivateKey
		epoch uint64
		want  error
	}{
		{old, 1, nil}, {old, 330, nil}, {old, 331, signature.ErrUnknownKey},
		{next, 9, signature.ErrUnknownKey}, {next, 10, nil}, {next, 20, nil}, {next, 21, signature.ErrUnknownKey},
		{next, 299, signature.ErrUnknownKey}, {next, 300, nil}, {next, 1 << 40, nil},
	} {
		if err := both.Verify(sign(t, c.key, c.epoch)); !errors.Is(err, c.want) {
			t.Errorf("key_id %d, epoch %d: %v, want %v", c.key[63], c.epoch, err, c.want)
		}
	}
	broken := sign(t, old, 330)
	broken.Signature[0] ^= 1
	if err := both.Verify(broken); !errors.Is(err, signature.ErrInvalid) {
		t.Errorf("broken under a trusted key: %v, want ErrInvalid", err)
	}
	for _, wrong := range [][]string{
		{public(old) + "@"}, {public(old) + "@-"}, {public(old) + "@7"}, {public(old) + "@7-6"}, {public(old) + "@-x"}, {public(old) + "@1-2-3"},
		{public(old) + "@+1-2"}, {public(old), public(old) + "@7-"}, {public(old) + "@1-5", public(old) + "@5-9"},
	} {
		if _, err := signature.ParseKeys(wrong); err == nil {
			t.Errorf("%q are keys", wrong)
		}
	}
	if k := keys(t, public(old)+"@1-5", public(old)+"@1-5"); k.Len() != 1 {
		t.Errorf("a key given twice counts %d times", k.Len())
	}
}

// TestKeysThatShareAnID: key_id is one byte, so two trusted keys may well share it.
func TestKeysThatShareAnID(t *testing.T) {
	t.Parallel()
	first := key(1)
	second := first
	for n := uint32(0); bytes.Equal(first, second) || second[63] != first[63]; n++ {
		seed := make([]byte, ed25519.SeedSize)
		binary.BigEndian.PutUint32(seed, n)
		second = ed25519.NewKeyFromSeed(seed)
	}
	both := keys(t, public(first), public(second))
	for _, signer := range []ed25519.PrivateKey{first, second} {
		if err := both.Verify(sign(t, signer, 5)); err != nil {
			t.Error(err)
		}
	}
	if err := keys(t, public(first)).Verify(sign(t, second, 5)); !errors.Is(err, signature.ErrInvalid) {
		t.Errorf("untrusted key of a trusted key_id: %v, want ErrInvalid", err)
	}
}

func TestParseKeys(t *testing.T) {
	t.Parallel()
	good := public(key(1))
	if k := keys(t, good, public(key(2)), strings.ToUpper(good)); k.Len() != 2 {
		t.Errorf("two keys, one of them twice: %d", k.Len())
	}
	for _, bad := range []string{"", good[1:], good + "00", "zz" + good[2:], " " + good} {
		if _, err := signature.ParseKeys([]string{good, bad}); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	s := sign(t, key(1), 5)
	for name, c := range map[string]struct {
		namespace string
		epoch     uint64
		digest    [32]byte
		want      error
	}{
		"same":              {namespace, 5, s.Digest, nil},
		"another namespace": {"other", 5, s.Digest, signature.ErrMismatch},
		"another epoch":     {namespace, 6, s.Digest, signature.ErrMismatch},
		"another digest":    {namespace, 5, [32]byte{}, signature.ErrDigestMismatch},
		"all of it":         {"other", 6, [32]byte{}, signature.ErrMismatch},
	} {
		if err := signature.Check(s, c.namespace, c.epoch, c.digest); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestCheckOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		previous, current uint64
		want              error
	}{{1, 2, nil}, {2, 2, nil}, {2, 1, signature.ErrBackwards}, {1 << 63, 0, signature.ErrBackwards}} {
		err := signature.CheckOrder(signature.SignedDigest{Timestamp: c.previous}, signature.SignedDigest{Timestamp: c.current})
		if !errors.Is(err, c.want) {
			t.Errorf("%d then %d: %v, want %v", c.previous, c.current, err, c.want)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key         ed25519.PrivateKey
		ciphersuite uint32
		namespace   string
	}{
		"a short key":           {key(1)[:32], 1, namespace},
		"an unknown suite":      {key(1), 3, namespace},
		"suite 0":               {key(1), 0, namespace},
		"no namespace":          {key(1), 1, ""},
		"a namespace not UTF-8": {key(1), 1, "\xff"},
	} {
		if _, err := signature.Sign(c.key, c.ciphersuite, c.namespace, 1, 1, [32]byte{}); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}
