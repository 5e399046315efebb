package signature_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ktaudit/ktaudit/signature"
)

const (
	vectors    = "../testdata/vectors/"
	vectorsKey = "b7f8c77a605705b8a0c3f228e75ff3f43b715a7321d0cc23bd177145d659686a"
)

func keys(t *testing.T, texts ...string) signature.Keys {
	t.Helper()
	k, err := signature.ParseKeys(texts)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// signedVectors returns every signed digest under testdata, of both ciphersuites.
func signedVectors(t *testing.T) map[string][]byte {
	t.Helper()
	found := make(map[string][]byte)
	for _, folder := range []string{"signatures", "tiny-signatures-bincode"} {
		files, err := filepath.Glob(vectors + "whatsapp-v1/" + folder + "/*.json")
		if err != nil || len(files) < 30 {
			t.Fatalf("%s: %d files, error %v", folder, len(files), err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found[file] = b
		}
	}
	return found
}

func TestVectorsVerify(t *testing.T) {
	t.Parallel()
	trusted := keys(t, vectorsKey)
	for file, b := range signedVectors(t) {
		s, err := signature.Parse(b)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if err := trusted.Verify(s); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if err := signature.Check(s, s.Namespace, s.Epoch, s.Digest); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := signature.Parse(again); err != nil || back != s {
			t.Errorf("%s: came back as %+v, error %v", file, back, err)
		}
	}
}

func TestAnyChangedFieldDoesNotVerify(t *testing.T) {
	t.Parallel()
	trusted := keys(t, vectorsKey)
	changes := map[string]func(*signature.SignedDigest){
		"ciphersuite": func(s *signature.SignedDigest) { s.Ciphersuite = 3 - s.Ciphersuite },
		"namespace":   func(s *signature.SignedDigest) { s.Namespace += "x" },
		"timestamp":   func(s *signature.SignedDigest) { s.Timestamp++ },
		"epoch":       func(s *signature.SignedDigest) { s.Epoch ^= 1 },
		"digest":      func(s *signature.SignedDigest) { s.Digest[31] ^= 1 },
		"R":           func(s *signature.SignedDigest) { s.Signature[0] ^= 1 },
		"S":           func(s *signature.SignedDigest) { s.Signature[32] ^= 1 },
	}
	for file, b := range signedVectors(t) {
		for name, change := range changes {
			s, err := signature.Parse(b)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			change(&s)
			if err := trusted.Verify(s); !errors.Is(err, signature.ErrInvalid) {
				t.Errorf("%s with another %s: %v, want ErrInvalid", file, name, err)
			}
		}
	}
}

func TestPublishedVectors(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(vectors + "signature-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var published []struct {
		SigningKey   string `json:"signing_key"`
		VerifyingKey string `json:"verifying_key"`
		KeyID        uint8  `json:"key_id"`
		Namespace    string
		Timestamp    uint64
		Epoch        uint64
		Digest       string
		Signature    string
		Ciphersuite  uint32
	}
	if err := json.Unmarshal(b, &published); err != nil || len(published) == 0 {
		t.Fatalf("%d vectors, error %v", len(published), err)
	}
	for _, v := range published {
		seed, _ := hex.DecodeString(v.SigningKey)
		digest, _ := hex.DecodeString(v.Digest)
		s, err := signature.Sign(ed25519.NewKeyFromSeed(seed), v.Ciphersuite, v.Namespace, v.Timestamp, v.Epoch, [32]byte(digest))
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(s.Signature[:]); got != v.Signature {
			t.Errorf("ciphersuite %d: signature %s, want %s", v.Ciphersuite, got, v.Signature)
		}
		if s.KeyID != v.KeyID {
			t.Errorf("ciphersuite %d: key_id %d, want %d", v.Ciphersuite, s.KeyID, v.KeyID)
		}
		if err := keys(t, v.VerifyingKey).Verify(s); err != nil {
			t.Errorf("ciphersuite %d: %v", v.Ciphersuite, err)
		}
	}
}
