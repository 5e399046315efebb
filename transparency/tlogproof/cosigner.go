package tlogproof

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
)

// Cosigner makes C2SP cosignatures/v1 as of a given time; torchwood's are as of now.
type Cosigner struct {
	key  ed25519.PrivateKey
	vkey *torchwood.CosignatureVerifier
}

// NewCosigner returns a cosigner with a name, which is that of its key.
func NewCosigner(name string, key ed25519.PrivateKey) (Cosigner, error) {
	s, err := torchwood.NewCosignatureSigner(name, key)
	if err != nil {
		return Cosigner{}, err
	}
	return Cosigner{key, s.Verifier()}, nil
}

// Key is the C2SP verifier key by which the cosignatures are checked.
func (c Cosigner) Key() string { return c.vkey.String() }

// At returns what signs as of a time, in whole seconds. It signs nothing but checkpoints, and what
// has their form.
func (c Cosigner) At(t time.Time) note.Signer { return cosignerAt{c, t.Unix()} }

type cosignerAt struct {
	Cosigner
	time int64
}

func (c cosignerAt) Name() string    { return c.vkey.Name() }
func (c cosignerAt) KeyHash() uint32 { return c.vkey.KeyHash() }

func (c cosignerAt) Sign(body []byte) ([]byte, error) {
	if _, err := ParseCheckpoint(string(body)); err != nil || c.time < 0 {
		return nil, fmt.Errorf("%.80q as of %d is no checkpoint to cosign", body, c.time)
	}
	signature := ed25519.Sign(c.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", c.time, body))
	return append(binary.BigEndian.AppendUint64(nil, uint64(c.time)), signature...), nil
}
