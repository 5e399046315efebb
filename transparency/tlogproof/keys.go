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
	public    string // the log's public key, raw
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
	return Keys{log: log, public: publicKey(vkey)}, nil
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
		public := publicKey(vkey)
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

// publicKey returns the raw public key in a verifier key that was found to be well formed. Base64
// has pluses of its own: the key is what follows name and hash.
func publicKey(vkey string) string {
	parts := strings.SplitN(vkey, "+", 3)
	key, _ := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	return string(key[min(1, len(key)):]) // after the algorithm
}

// policy has the note opened with all the keys, and demands the auditor's signature only: who else
// signed is counted afterwards, so that a reader is told.
func (k Keys) policy() torchwood.Policy {
	witnesses := make([]torchwood.Policy, len(k.witnesses))
	for i, w := range k.witnesses {
		witnesses[i] = torchwood.SingleVerifierPolicy(w)
	}
	return torchwood.ThresholdPolicy(3, torchwood.OriginPolicy(k.log.Name()), torchwood.SingleVerifierPolicy(k.log),
		torchwood.ThresholdPolicy(0, witnesses...))
}
