package tlogproof

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Tier is how much was checked of what a Statement says; the last part of its key's name.
type Tier string

const (
	// TierVerified: the epoch's batch proves that the log's tree only grew.
	TierVerified Tier = "verified"
	// TierChained: the names of the epochs around it continue each other; no batch was read.
	TierChained Tier = "chained"
)

// Statement says which digest a log published for an epoch, in three lines, as other witnesses of
// AKD logs say it, so that two of them can be compared byte for byte. It has the form of a C2SP
// checkpoint, and is none: the number is an epoch, not a size, and the root is that of an AKD tree,
// which no RFC 6962 proof leads to.
type Statement struct {
	Origin string `json:"origin"` // the log's name in statements, such as whatsapp.kt/v2
	Epoch  uint64 `json:"epoch"`
	Digest string `json:"digest"` // 64 lower-case hexadecimal digits
}

// maxStatementBytes is the longest file that CheckStatement reads.
const maxStatementBytes = 16 << 10

// body returns the three lines.
func (s Statement) body() (string, error) {
	root, err := hex.DecodeString(s.Digest)
	if err = errors.Join(err, verdict.CheckDigest(s.Digest)); err != nil {
		return "", err
	}
	if s.Epoch > verdict.MaxEpoch {
		return "", fmt.Errorf("epoch %d cannot be stated: the last is %d", s.Epoch, uint64(verdict.MaxEpoch))
	}
	body := torchwood.Checkpoint{Origin: s.Origin, Tree: tlog.Tree{N: int64(s.Epoch), Hash: tlog.Hash(root)}}.String()
	if c, err := torchwood.ParseCheckpoint(body); err != nil || c.Origin != s.Origin || c.Extension != "" || s.Origin == "" {
		return "", fmt.Errorf("nothing can be stated of %.200q: want one line of text", s.Origin)
	}
	return body, nil
}

// StatementSigner signs the statements of one tier.
type StatementSigner struct{ Cosigner }

// NewStatementSigner returns the signer of a tier for an auditor, by its origin, which with the
// tier is the name of the key. Verified statements are signed by the key itself, chained ones by a
// key that is derived from it: a cosignature does not cover its key's name, so that under one key
// whoever has a chained statement could pass it off as a verified one.
func NewStatementSigner(origin string, tier Tier, key ed25519.PrivateKey) (StatementSigner, error) {
	switch tier {
	case TierVerified:
	case TierChained:
		seed, err := hkdf.Key(sha256.New, key.Seed(), nil, "ktaudit statement key: chained", ed25519.SeedSize)
		if err != nil {
			return StatementSigner{}, err
		}
		key = ed25519.NewKeyFromSeed(seed)
	default:
		return StatementSigner{}, fmt.Errorf("tier %q: nothing is stated but %s and %s", tier, TierVerified, TierChained)
	}
	c, err := NewCosigner(origin+"/"+string(tier), key)
	if err != nil {
		return StatementSigner{}, fmt.Errorf("statement key of %q: %w", origin, err)
	}
	return StatementSigner{c}, nil
}

// Sign returns a statement as a signed note. The time is that at which it was found to be true, in
// whole seconds, and not now: the same statement always has the same bytes.
func (s StatementSigner) Sign(statement Statement, at time.Time) ([]byte, error) {
	body, err := statement.body()
	if err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: body}, s.At(at))
}

// StatementResult is what a signed statement shows.
type StatementResult struct {
	Statement
	Signed []StatementSignature `json:"signed"`
	Others int                  `json:"others"` // signatures by keys that the reader does not have
}

// StatementSignature says that an auditor stated it.
type StatementSignature struct {
	Cosignature
	// Tier is what the key's name says was checked; empty if it says neither.
	Tier Tier `json:"tier,omitempty"`
}

// IsStatement reports whether a file looks like a signed statement rather than a proof.
func IsStatement(file []byte) bool {
	return !bytes.HasPrefix(file, []byte(header)) && bytes.Contains(file, []byte("\n\n\u2014 "))
}

// CheckStatement checks a signed statement by the reader's keys, C2SP verifier keys of cosigners.
// Without an error at least one of them signed it.
func CheckStatement(file []byte, vkeys []string) (StatementResult, error) {
	if len(file) > maxStatementBytes {
		return StatementResult{}, fmt.Errorf("%w: %d bytes, the limit is %d", ErrMalformed, len(file), maxStatementBytes)
	}
	var known []*torchwood.CosignatureVerifier
	var verifiers []note.Verifier
	for _, vkey := range vkeys {
		v, err := torchwood.NewCosignatureVerifier(vkey)
		if err != nil {
			return StatementResult{}, fmt.Errorf("statement key %.200q: %w", vkey, err)
		}
		if !slices.ContainsFunc(known, func(k *torchwood.CosignatureVerifier) bool { return k.String() == v.String() }) {
			known, verifiers = append(known, v), append(verifiers, v)
		}
	}
	n, err := note.Open(file, note.VerifierList(verifiers...))
	if err != nil {
		return StatementResult{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	c, err := torchwood.ParseCheckpoint(n.Text)
	if err = errors.Join(err, checkForm(n)); err != nil {
		return StatementResult{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	s := Statement{Origin: c.Origin, Epoch: uint64(c.N), Digest: hex.EncodeToString(c.Hash[:])}
	if body, err := s.body(); err != nil || body != n.Text {
		return StatementResult{}, fmt.Errorf("%w: not the three lines of a statement", ErrMalformed)
	}
	r := StatementResult{Statement: s, Signed: []StatementSignature{}, Others: len(n.UnverifiedSigs)}
	for _, signed := range (Keys{witnesses: known}).cosigned(n) {
		one := StatementSignature{Cosignature: signed}
		switch name := signed.Name; {
		case strings.HasSuffix(name, "/"+string(TierVerified)):
			one.Tier = TierVerified
		case strings.HasSuffix(name, "/"+string(TierChained)):
			one.Tier = TierChained
		}
		r.Signed = append(r.Signed, one)
	}
	if len(r.Signed) == 0 {
		return StatementResult{}, fmt.Errorf("%w: signed as of no date", ErrMalformed)
	}
	return r, nil
}
