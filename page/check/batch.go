package check

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ktaudit/ktaudit/validator"
)

const (
	// maxBatchBytes and maxBatchMemory are what a browser's tab can be asked for.
	maxBatchBytes  = 1 << 30
	maxBatchMemory = 1 << 30
	maxWindow      = 128 << 20
)

// Batch is a question: whether a batch proves what its name says.
type Batch struct {
	Name          string // EPOCH/PREVIOUS/DIGEST, as the log publishes it
	Configuration string // as validator.ParseConfiguration reads it
	Bytes         []byte // as published
}

// Check verifies b.
func (b Batch) Check(ctx context.Context) (r Report) {
	plainName, _, _ := strings.Cut(b.Name, ".") // without the extension of a compression
	name, err := validator.ParseName(plainName)
	if err != nil {
		return r.conclude(Unclear, "Nothing was verified: the name %q is none of a batch: %v.", b.Name, err)
	}
	configuration, err := validator.ParseConfiguration(b.Configuration)
	if err != nil {
		return r.conclude(Unclear, "Nothing was verified: %v.", err)
	}
	r.add(Unclear, "The file", "%d bytes with the SHA-256 %x. Whether the log published them is not checked here.", len(b.Bytes), sha256.Sum256(b.Bytes))
	plain, err := decompressed(b.Bytes)
	if err != nil {
		return r.conclude(Unclear, "Nothing was verified: %v.", err)
	}
	result, err := validator.Verify(ctx, name, plain, configuration, validator.Options{MaxBytes: maxBatchBytes, MaxMemory: maxBatchMemory})
	if err != nil {
		return r.conclude(Unclear, "Nothing was verified: %v. The command ktaudit verify has no such limits as a browser.", err)
	}
	if result.Outcome != validator.Verified {
		r.add(Wrong, "The proof", "It does not hold: %s: %s.", result.Reason, result.Detail)
		return r.conclude(Wrong, "Rejected: this file does not prove what epoch %d claims.", name.Epoch)
	}
	r.add(Good, "Before the epoch", "The unchanged parts of the tree, %d, hash to %s.", result.Unchanged, name.PreviousDigest)
	r.add(Good, "After the epoch", "With the %d keys inserted, they hash to %s.", result.Inserted, name.Digest)
	r.add(Good, "Only growth", "No key occurs twice and none was taken away: what was in the tree still is.")
	return r.conclude(Good, "Verified: epoch %d only added %d keys to the log's tree.", name.Epoch, result.Inserted)
}

// decompressed recognises a compression by its first bytes, as package fetcher does. A browser gets
// those that logs use; fetcher itself would bring the network with it.
func decompressed(b []byte) (io.Reader, error) {
	switch {
	case bytes.HasPrefix(b, []byte("\x28\xb5\x2f\xfd")), len(b) >= 4 && b[0]&0xf0 == 0x50 && bytes.Equal(b[1:4], []byte("\x2a\x4d\x18")):
		d, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return d, nil
	case bytes.HasPrefix(b, []byte("\x1f\x8b\x08")):
		return gzip.NewReader(bytes.NewReader(b))
	case bytes.HasPrefix(b, []byte("\xff\x06\x00\x00")):
		return nil, fmt.Errorf("the file is compressed with S2 or Snappy, which only the command ktaudit verify reads")
	}
	return bytes.NewReader(b), nil
}
