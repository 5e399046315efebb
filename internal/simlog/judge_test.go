package simlog_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

var testKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

// written is a log in memory.
type written struct {
	proofs, signatures *blob.Bucket
	summary            simlog.Summary
}

func write(t testing.TB, o simlog.Options) written {
	t.Helper()
	w := written{proofs: memblob.OpenBucket(nil), signatures: memblob.OpenBucket(nil)}
	t.Cleanup(func() {
		w.proofs.Close()
		w.signatures.Close()
	})
	var err error
	if w.summary, err = simlog.Write(t.Context(), w.proofs, w.signatures, o, nil); err != nil {
		t.Fatal(err)
	}
	return w
}

// objects returns all objects of a bucket below prefix.
func objects(t testing.TB, bucket *blob.Bucket, prefix string) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	list := bucket.List(&blob.ListOptions{Prefix: prefix})
	for {
		object, err := list.Next(t.Context())
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if all[object.Key], err = bucket.ReadAll(t.Context(), object.Key); err != nil {
			t.Fatal(err)
		}
	}
}

// proof returns an object's name and its bytes without compression.
func proof(t testing.TB, key string, data []byte) (validator.Name, []byte) {
	t.Helper()
	var r io.Reader = bytes.NewReader(data)
	var err error
	switch path.Ext(key) {
	case ".zst":
		r, err = zstd.NewReader(r)
	case ".gz":
		r, err = gzip.NewReader(r)
	case ".s2":
		r = s2.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	name, err := validator.ParseName(strings.TrimSuffix(key, path.Ext(key)))
	if err != nil {
		t.Fatal(err)
	}
	return name, plain
}

// judge audits a whole log by the rules of the design, as simply as can be: one line for each epoch
// that is not verified, with what Expected would say of it.
func judge(t testing.TB, w written, o simlog.Options) map[uint64]string {
	t.Helper()
	found := make(map[uint64]string)
	seen := make(map[validator.Digest]bool)
	for epoch := w.summary.First; epoch <= w.summary.Last; epoch++ {
		if verdict := judgeEpoch(t, w, o, epoch, seen); verdict != "verified" {
			found[epoch] = verdict
		}
	}
	return found
}

func judgeEpoch(t testing.TB, w written, o simlog.Options, epoch uint64, seen map[validator.Digest]bool) string {
	t.Helper()
	found := objects(t, w.proofs, fmt.Sprintf("%d/", epoch))
	if len(found) == 0 {
		return "missing"
	}
	names := make(map[validator.Name][]byte)
	for key, data := range found {
		name, plain := proof(t, key, data)
		r, err := validator.Verify(context.Background(), name, bytes.NewReader(plain), o.Configuration, validator.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Outcome != validator.Verified {
			return "rejected " + string(r.Reason)
		}
		names[name] = plain
	}
	if len(names) > 1 {
		return "rejected equivocation"
	}
	for name := range names {
		seen[name.PreviousDigest] = true
		if seen[name.Digest] {
			return "rejected digest_reused"
		}
		if o.SigningKey != nil {
			return judgeSignature(t, w, o, name)
		}
	}
	return "verified"
}

func judgeSignature(t testing.TB, w written, o simlog.Options, name validator.Name) string {
	t.Helper()
	keys, err := signature.ParseKeys([]string{hex.EncodeToString(o.SigningKey.Public().(ed25519.PublicKey))})
	if err != nil {
		t.Fatal(err)
	}
	var signed [2]signature.SignedDigest
	for i, epoch := range []uint64{name.Epoch - 1, name.Epoch} {
		b, _, err := signature.BucketSource{Bucket: w.signatures}.Get(t.Context(), epoch)
		if err != nil {
			t.Fatal(err)
		}
		if signed[i], err = signature.Parse(b); err != nil {
			t.Fatal(err)
		}
	}
	if keys.Verify(signed[1]) != nil || signature.CheckOrder(signed[0], signed[1]) != nil {
		return "rejected signature_invalid"
	}
	err = signature.Check(signed[1], o.Namespace, name.Epoch, name.Digest)
	if errors.Is(err, signature.ErrDigestMismatch) {
		return "rejected signature_digest_mismatch"
	}
	if err != nil {
		t.Fatal(err)
	}
	return "verified"
}

// judgeChain checks that each epoch is published under the digest that the next one begins with,
// and returns how many neighbours it saw.
func judgeChain(t testing.TB, w written) int {
	t.Helper()
	ends := make(map[uint64]map[validator.Digest]bool)
	begins := make(map[uint64]validator.Digest)
	for key := range objects(t, w.proofs, "") {
		name, err := validator.ParseName(strings.TrimSuffix(key, path.Ext(key)))
		if err != nil {
			t.Fatal(err)
		}
		begins[name.Epoch] = name.PreviousDigest
		if ends[name.Epoch] == nil {
			ends[name.Epoch] = make(map[validator.Digest]bool)
		}
		ends[name.Epoch][name.Digest] = true
	}
	neighbours := 0
	for epoch, begin := range begins {
		if end := ends[epoch-1]; end != nil {
			neighbours++
			if !end[begin] {
				t.Errorf("epoch %d begins with %s, which epoch %d does not end with", epoch, begin, epoch-1)
			}
		}
	}
	return neighbours
}
