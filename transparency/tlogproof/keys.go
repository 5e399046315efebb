package tlogproof

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
)

// MaxWitnesses is how many witnesses Keys can have: a checkpoint with more signatures than a signed
// note may have could not be read.
const MaxWitnesses = 90

// Keys are what a reader trusts: the key of one log of an auditor's, and witnesses of which some
// number must have cosigned. Nothing else is needed to check a proof.
type Keys struct {
	log       note.Verifier
	former    []note.Verifier // keys of the same log that signed before
	public    string          // the log's public key, raw
	witnesses []*torchwood.CosignatureVerifier
	require   int
}

// Auditor returns Keys with the key of an auditor's log and no witnesses. The key is a C2SP
// verifier key, whose name is the log's origin; or 64 hexadecimal digits, with the origin beside
// it. An origin that is given with a verifier key must be its name.
func Auditor(key, origin string) (Keys, error) {
	vkey := key
	if public, err := hex.DecodeString(key); err == nil && len(public) == ed25519.PublicKeySize {
		if origin == "" {
			return Keys{}, errors.New("the auditor's key is given as hexadecimal digits: the log's origin must be given, too, such as auditor.example.org/NAMESPACE")
		}
		if vkey, err = note.NewEd25519VerifierKey(origin, public); err != nil {
			return Keys{}, fmt.Errorf("auditor's key: %w", err)
		}
	}
	log, err := note.NewVerifier(vkey)
	switch {
	case err != nil:
		return Keys{}, fmt.Errorf("auditor's key %.200q: %w: want ORIGIN+HASH+BASE64 or 64 hexadecimal digits", key, err)
	case origin != "" && origin != log.Name():
		return Keys{}, fmt.Errorf("the auditor's key is that of %s, not of %s", log.Name(), origin)
	}
	return Keys{log: log, public: string(PublicKey(vkey))}, nil
}

// Former returns the keys with those by which the auditor signed its log before, as C2SP verifier
// keys: what they signed counts as what the auditor's key signs.
func (k Keys) Former(vkeys ...string) (Keys, error) {
	k.former = nil
	for _, vkey := range vkeys {
		v, err := note.NewVerifier(vkey)
		if err != nil {
			return Keys{}, fmt.Errorf("auditor's former key %.200q: %w", vkey, err)
		}
		if v.Name() != k.log.Name() {
			return Keys{}, fmt.Errorf("the auditor's former key is that of %s, not of %s", v.Name(), k.log.Name())
		}
		k.former = append(k.former, v)
	}
	return k, nil
}

// Require returns the keys with witnesses, given as C2SP verifier keys of cosigners, of which a
// number must have cosigned. The same public key may not be given twice, whatever it is called:
// one witness would count as two. Nor may the auditor's own.
func (k Keys) Require(number int, witnesses []string) (Keys, error) {
	if len(witnesses) > MaxWitnesses {
		return Keys{}, fmt.Errorf("%d witnesses, the limit is %d", len(witnesses), MaxWitnesses)
	}
	if number < 0 || number > len(witnesses) {
		return Keys{}, fmt.Errorf("%d cosignatures are required of %d witnesses", number, len(witnesses))
	}
	known := map[string]string{k.public: "the auditor"}
	k.witnesses, k.require = nil, number
	for _, vkey := range witnesses {
		w, err := torchwood.NewCosignatureVerifier(vkey)
		if err != nil {
			return Keys{}, fmt.Errorf("witness's key %.200q: %w: want a C2SP verifier key for Ed25519 cosignatures, as the witness shows it", vkey, err)
		}
		public := string(PublicKey(vkey))
		if other := known[public]; other != "" {
			return Keys{}, fmt.Errorf("the key of the witness %s is that of %s: it would count twice", w.Name(), other)
		}
		known[public] = w.Name()
		k.witnesses = append(k.witnesses, w)
	}
	return k, nil
}

// Origin is that of the log which the keys are for.
func (k Keys) Origin() string { return k.log.Name() }

// PublicKey returns the raw public key in a verifier key; nil if there is none. Base64 has pluses
// of its own: the key is what follows name and hash, behind the number of its algorithm.
func PublicKey(vkey string) []byte {
	parts := strings.SplitN(vkey, "+", 3)
	key, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(key) == 0 {
		return nil
	}
	return key[1:]
}

// Checkpoint is a signed checkpoint of the auditor's log.
type Checkpoint struct {
	Tree torchwood.Checkpoint
	// Cosigned are the reader's witnesses that cosigned it, in the order of the keys.
	Cosigned []Cosignature
	// Others are the signatures by keys that the reader does not have; nothing is known of them.
	Others int
}

// ParseCheckpoint reads the text of a checkpoint in the one form that it can have. Torchwood reads
// over bits at the end of the root's base64, so that two texts would be one checkpoint.
func ParseCheckpoint(text string) (torchwood.Checkpoint, error) {
	c, err := torchwood.ParseCheckpoint(text)
	if err == nil && c.String() != text {
		err = errors.New("a checkpoint in another form than checkpoints have")
	}
	return c, err
}

// CheckCheckpoint checks a signed checkpoint: an ErrSignature if it is not the auditor's, an
// ErrMalformed if it has signatures in another form than such notes have. Whether enough witnesses
// cosigned it is left to the caller.
func (k Keys) CheckCheckpoint(signed []byte) (Checkpoint, error) {
	tree, checked, err := torchwood.VerifyCheckpoint(signed, k.policy())
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if _, err := ParseCheckpoint(checked.Text); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := checkForm(checked); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if tree.N > maxSize {
		return Checkpoint{}, fmt.Errorf("%w: a log of %d entries", ErrMalformed, tree.N)
	}
	return Checkpoint{tree, k.cosigned(checked), len(checked.UnverifiedSigs)}, nil
}

// policy has the note opened with all the keys, and demands a signature of the auditor's only: who
// else signed is counted afterwards, so that a reader is told.
func (k Keys) policy() torchwood.Policy {
	own := []torchwood.Policy{torchwood.SingleVerifierPolicy(k.log)}
	for _, v := range k.former {
		own = append(own, torchwood.SingleVerifierPolicy(v))
	}
	witnesses := make([]torchwood.Policy, len(k.witnesses))
	for i, w := range k.witnesses {
		witnesses[i] = torchwood.SingleVerifierPolicy(w)
	}
	return torchwood.ThresholdPolicy(3, torchwood.OriginPolicy(k.log.Name()), torchwood.ThresholdPolicy(1, own...),
		torchwood.ThresholdPolicy(0, witnesses...))
}
