package simlog

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/ktaudit/ktaudit/signature"
	"gocloud.dev/blob"
)

// Compression is how published proofs are compressed.
type Compression int

const (
	None Compression = iota
	Zstd
	Gzip
	S2
	// Mixed compresses each epoch in another way, in turn, and every fourth not at all.
	Mixed
)

var compressionNames = []string{None: "none", Zstd: "zstd", Gzip: "gzip", S2: "s2", Mixed: "mixed"}

// ParseCompression reads "none", "zstd", "gzip", "s2" or "mixed".
func ParseCompression(s string) (Compression, error) {
	for c, name := range compressionNames {
		if s == name {
			return Compression(c), nil
		}
	}
	return None, fmt.Errorf("unknown compression %q: want one of %v", s, compressionNames)
}

// String returns what ParseCompression reads.
func (c Compression) String() string {
	if c < 0 || int(c) >= len(compressionNames) {
		return fmt.Sprintf("compression %d", int(c))
	}
	return compressionNames[c]
}

// of returns the compression of one epoch and its objects' extension.
func (c Compression) of(epoch uint64) (Compression, string) {
	if c == Mixed {
		c = Compression(epoch % uint64(Mixed))
	}
	return c, [...]string{None: "", Zstd: ".zst", Gzip: ".gz", S2: ".s2"}[c]
}

// wrap returns a writer that compresses into w. It must be closed, which leaves w open.
func (c Compression) wrap(w io.Writer) (io.WriteCloser, error) {
	switch c {
	// One goroutine each for zstd and s2: the output must not depend on the machine.
	case Zstd:
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	case Gzip:
		return gzip.NewWriterLevel(w, gzip.BestSpeed)
	case S2:
		return s2.NewWriter(w, s2.WriterConcurrency(1)), nil
	}
	return uncompressed{w}, nil
}

type uncompressed struct{ io.Writer }

func (uncompressed) Close() error { return nil }

type publisher struct {
	proofs, signatures *blob.Bucket
	o                  Options
	// keep: the place was not empty, and what it holds of this log is not written again.
	keep bool
}

// publish writes the proof under e's name and notes in e what was written.
func (u publisher) publish(ctx context.Context, p *proof, e *Epoch) error {
	compression, extension := u.o.Compression.of(p.epoch)
	key := e.Name.String() + extension
	if u.keep {
		there, err := u.existing(ctx, e, key)
		if err != nil {
			return err
		}
		if there {
			stored := &counter{w: io.Discard}
			c, err := writeProof(p, compression, stored)
			e.add(key, c, stored.n)
			return err
		}
	}
	// A bucket's writer commits what it has when it is closed, unless its context has ended: end it
	// on every error.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	object, err := u.proofs.NewWriter(ctx, key, nil)
	if err != nil {
		return fmt.Errorf("writing %s: %w", key, err)
	}
	stored := &counter{w: object}
	c, err := writeProof(p, compression, stored)
	if err != nil {
		cancel()
	}
	if closed := object.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", key, err)
	}
	e.add(key, c, stored.n)
	return nil
}

func (e *Epoch) add(key string, c counts, stored int64) {
	e.Objects = append(e.Objects, key)
	e.Inserted, e.Unchanged, e.Bytes, e.StoredBytes = c.Inserted, c.Unchanged, c.Bytes, stored
}

func writeProof(p *proof, compression Compression, w io.Writer) (counts, error) {
	compressor, err := compression.wrap(w)
	if err != nil {
		return counts{}, err
	}
	buffered := bufio.NewWriterSize(compressor, 1<<18)
	c, err := p.write(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if closed := compressor.Close(); err == nil {
		err = closed
	}
	return c, err
}

// counter counts the bytes written to w.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// sign publishes the signed digest of an epoch, if the log signs at all.
func (u publisher) sign(ctx context.Context, epoch uint64, digest value, kind Kind) error {
	if u.o.SigningKey == nil {
		return nil
	}
	if kind == SignedDigest {
		digest[0] ^= 1
	}
	s, err := signature.Sign(u.o.SigningKey, u.o.Ciphersuite, u.o.Namespace, u.o.timestamp(epoch), epoch, digest)
	if err != nil {
		return fmt.Errorf("signing epoch %d: %w", epoch, err)
	}
	if u.keep {
		if there, err := u.existingSigned(ctx, s); there || err != nil {
			return err
		}
	}
	if kind == Signature {
		s.Signature[0] ^= 1
	}
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("signing epoch %d: %w", epoch, err)
	}
	key := signedKey(epoch)
	if err := u.signatures.WriteAll(ctx, key, append(b, '\n'), nil); err != nil {
		return fmt.Errorf("writing %s: %w", key, err)
	}
	return nil
}
