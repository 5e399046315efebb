package golden_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"regexp"
	"testing"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/signature"
)

// What a signed digest says of the time differs, and so do the bytes that are signed.
var signedAt = []scrub{
	{regexp.MustCompile(`("timestamp":)\d+`), `${1}TIME`},
	{regexp.MustCompile(`("signature":)"[0-9a-f]{128}"`), `${1}"SIGNATURE"`},
	{regexp.MustCompile(`("serialized_message":)"[0-9a-f]+"`), `${1}"MESSAGE"`},
}

// signDigests signs the digests of two epochs.
func signDigests(t *testing.T) []object {
	w := emptyWorld(t)
	a, err := auditor.New(auditor.Config{
		Namespace: namespace, Store: w.store, Ciphersuite: signature.CiphersuiteProtobuf,
		Keys:     []auditor.Key{{Signer: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))}},
		Conflict: func(context.Context, auditor.Conflict) error { return nil },
	})
	must(t, err)
	for epoch := uint64(331); epoch < 333; epoch++ {
		var raw [32]byte
		_, err := hex.Decode(raw[:], []byte(digest(epoch)))
		must(t, err)
		_, err = a.Sign(t.Context(), epoch, raw)
		must(t, err)
	}
	return w.audit.objects()
}
