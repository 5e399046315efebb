package golden_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/timestamp"
	"github.com/ktaudit/ktaudit/signature"
)

// What a signed digest says of the time differs, and so do the bytes that are signed.
var signedAt = []scrub{
	{regexp.MustCompile(`("timestamp":)\d+`), `${1}TIME`},
	{regexp.MustCompile(`("signature":)"[0-9a-f]{128}"`), `${1}"SIGNATURE"`},
	{regexp.MustCompile(`("serialized_message":)"[0-9a-f]+"`), `${1}"MESSAGE"`},
}

// signDigests signs the digests of two epochs, is posted another one, and keeps a report.
func signDigests(t *testing.T) []object {
	w := emptyWorld(t)
	a, err := auditor.New(auditor.Config{
		Namespace: namespace, Store: w.store, Ciphersuite: signature.CiphersuiteProtobuf,
		Keys:     []auditor.Key{{Signer: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))}},
		Conflict: timestamp.Conflict(incident.Recorder{Store: w.store}, namespace),
	})
	must(t, err)
	for epoch := uint64(331); epoch < 333; epoch++ {
		var raw [32]byte
		_, err := hex.Decode(raw[:], []byte(digest(epoch)))
		must(t, err)
		_, err = a.Sign(t.Context(), epoch, raw)
		must(t, err)
	}
	_, err = a.Sign(auditor.WithPoster(t.Context(), "CN=log"), 332, [32]byte{1})
	if _, ok := errors.AsType[*auditor.ConflictError](err); !ok {
		t.Fatal(err)
	}
	must(t, timestamp.KeepReport(t.Context(), w.store, namespace, 332, []byte(`{"a report":true}`)))
	return w.audit.objects()
}

// register adds a namespace and disables another.
func register(t *testing.T) []object {
	w := emptyWorld(t)
	r := timestamp.NewRegistry(w.store)
	must(t, r.Add(t.Context(), timestamp.Registered{
		Name: "other", Root: "331/" + digest(331), Ciphersuite: 1, LogDirectory: "https://other.example", At: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
	}))
	must(t, r.Disable(t.Context(), namespace))
	return w.audit.objects()
}
