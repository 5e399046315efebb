package tlogproof

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
	"golang.org/x/mod/sumdb/note"
)

func aStatement(t testing.TB, tier Tier) (vkey string, file []byte) {
	t.Helper()
	signer, err := NewStatementSigner("auditor.example.org", tier, tlogtest.Key("statements"))
	if err != nil {
		t.Fatal(err)
	}
	s := Statement{Origin: "whatsapp.kt/v2", Epoch: 1216291, Digest: fmt.Sprintf("%064x", 0xabc)}
	if file, err = signer.Sign(s, at.Add(123456*time.Microsecond)); err != nil {
		t.Fatal(err)
	}
	return signer.Key(), file
}

// TestStatementIsReproducible pins the bytes: they follow from the digest, the time and the key.
func TestStatementIsReproducible(t *testing.T) {
	t.Parallel()
	vkey, file := aStatement(t, TierVerified)
	_, again := aStatement(t, TierVerified)
	if !bytes.Equal(file, again) {
		t.Error("signed twice, it has other bytes")
	}
	if !strings.HasPrefix(string(file), "whatsapp.kt/v2\n1216291\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACrw=\n\n\u2014 auditor.example.org/verified ") {
		t.Errorf("%s", file)
	}
	// The other witness's reader is one of cosignatures.
	v, err := torchwood.NewCosignatureVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(file, note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	if signed, err := torchwood.CosignatureTimestamp(n.Sigs[0]); err != nil || signed != at.Unix() {
		t.Errorf("time %d, %v", signed, err)
	}
}

func TestStatementIsChecked(t *testing.T) {
	t.Parallel()
	verified, file := aStatement(t, TierVerified)
	chained, weaker := aStatement(t, TierChained)
	r, err := CheckStatement(file, []string{verified, chained, verified})
	if err != nil || len(r.Signed) != 1 || r.Signed[0].Tier != TierVerified || r.Epoch != 1216291 || r.Origin != "whatsapp.kt/v2" || !r.Signed[0].At.Equal(at) {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err = CheckStatement(weaker, []string{verified, chained}); err != nil || r.Signed[0].Tier != TierChained {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err = CheckStatement(weaker, []string{verified}); !errors.Is(err, ErrSignature) {
		t.Errorf("under another key: %v", err)
	}
	for i := range file {
		changed := bytes.Clone(file)
		changed[i] ^= 1
		if r, err := CheckStatement(changed, []string{verified}); err == nil {
			t.Errorf("byte %d, %q to %q: %+v", i, file[i], changed[i], r)
		}
	}
	if !IsStatement(file) || IsStatement([]byte(header+"\n\n\u2014 x")) || IsStatement([]byte("{}")) {
		t.Error("files are taken for what they are not")
	}
}

// TestChainedStatementCannotPassForVerified: a cosignature does not cover its key's name, so a
// signature that is moved to another name must be under another key.
func TestChainedStatementCannotPassForVerified(t *testing.T) {
	t.Parallel()
	verified, _ := aStatement(t, TierVerified)
	chained, weaker := aStatement(t, TierChained)
	if bytes.Equal(PublicKey(verified), PublicKey(chained)) {
		t.Fatal("one key for both tiers")
	}
	v, err := torchwood.NewCosignatureVerifier(chained)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(weaker, note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CheckStatement(relabelled(t, n, verified), []string{verified}); !errors.Is(err, ErrSignature) {
		t.Errorf("%v", err)
	}
}

// relabelled gives a note's signature the name and the hash of another key.
func relabelled(t *testing.T, n *note.Note, vkey string) []byte {
	t.Helper()
	v, err := torchwood.NewCosignatureVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: n.Text}, moved{v, n.Sigs[0]})
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

type moved struct {
	*torchwood.CosignatureVerifier
	from note.Signature
}

func (m moved) Sign([]byte) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(m.from.Base64)
	return raw[4:], err
}

func TestWhatCannotBeStated(t *testing.T) {
	t.Parallel()
	signer, err := NewStatementSigner("auditor.example.org", TierVerified, tlogtest.Key("statements"))
	if err != nil {
		t.Fatal(err)
	}
	digest := fmt.Sprintf("%064x", 1)
	for name, s := range map[string]Statement{
		"no origin":            {"", 1, digest},
		"an origin of lines":   {"a\nb", 1, digest},
		"no digest":            {"a", 1, ""},
		"half a digest":        {"a", 1, digest[:32]},
		"digits of upper case": {"a", 1, strings.Repeat("A", 64)},
		"an epoch too high":    {"a", 1 << 63, digest},
	} {
		if file, err := signer.Sign(s, at); err == nil {
			t.Errorf("%s: %s", name, file)
		}
	}
	if _, err := signer.Sign(Statement{"a", 1, digest}, time.Time{}); err == nil {
		t.Error("without a time")
	}
	if _, err := NewStatementSigner("auditor.example.org", "seen", tlogtest.Key("statements")); err == nil {
		t.Error("a tier that is too weak")
	}
	if _, err := NewStatementSigner("a b", TierChained, tlogtest.Key("statements")); err == nil {
		t.Error("a name that cannot be one")
	}
}

func FuzzCheckStatement(f *testing.F) {
	vkey, file := aStatement(f, TierVerified)
	f.Add(file)
	f.Add([]byte("a\n1\n\n\u2014 x AAAAAAAA\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := CheckStatement(data, []string{vkey}); err == nil && (r.Epoch != 1216291 || len(r.Signed) != 1) {
			t.Errorf("%+v", r)
		}
	})
}
