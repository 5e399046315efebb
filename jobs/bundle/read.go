package bundle

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// IsBundle reports whether a file may be a bundle, by its first bytes: a zstd frame that unpacks to
// a tar archive with a manifest.
func IsBundle(r io.Reader) bool {
	z, err := newDecoder(r)
	if err != nil {
		return false
	}
	defer z.Close()
	header, err := tar.NewReader(io.LimitReader(z, 4<<10)).Next()
	return err == nil && header.Name == manifestPath
}

func newDecoder(r io.Reader) (*zstd.Decoder, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
}

// ReadManifest reads the first file of a bundle: what it says that it is about.
func ReadManifest(r io.Reader) (Manifest, error) {
	z, err := newDecoder(r)
	if err != nil {
		return Manifest{}, unreadable(err)
	}
	defer z.Close()
	return readManifest(tar.NewReader(z))
}

func readManifest(t *tar.Reader) (Manifest, error) {
	header, err := t.Next()
	if err != nil {
		return Manifest{}, unreadable(err)
	}
	if header.Name != manifestPath || header.Typeflag != tar.TypeReg || header.Size > maxManifest {
		return Manifest{}, unreadable(fmt.Errorf("it does not begin with a manifest, but with %.100q", header.Name))
	}
	data, err := io.ReadAll(t)
	if err != nil {
		return Manifest{}, unreadable(err)
	}
	m, err := parseManifest(data)
	if err != nil {
		return m, unreadable(err)
	}
	return m, nil
}

// read reads a bundle once, from its first byte to its last, and calls visit with each file. Every
// file must be the next one of the manifest, and have its size and hash; visit need not read it
// whole. Errors other than visit's own are ErrUnreadable.
func read(ctx context.Context, r io.Reader, visit func(m Manifest, f File, r io.Reader) error) (Manifest, error) {
	z, err := newDecoder(r)
	if err != nil {
		return Manifest{}, unreadable(err)
	}
	defer z.Close()
	t := tar.NewReader(z)
	m, err := readManifest(t)
	if err != nil {
		return m, err
	}
	for _, f := range m.Files {
		if err := ctx.Err(); err != nil {
			return m, err
		}
		header, err := t.Next()
		if err != nil {
			return m, unreadable(fmt.Errorf("%s is missing: %w", f.Path, err))
		}
		if header.Name != f.Path || header.Typeflag != tar.TypeReg || header.Size != f.Size {
			return m, unreadable(fmt.Errorf("%.100q of %d bytes where the manifest has %s of %d", header.Name, header.Size, f.Path, f.Size))
		}
		sum := sha256.New()
		content := io.TeeReader(t, sum)
		if err := visit(m, f, content); err != nil {
			return m, err
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			return m, unreadable(fmt.Errorf("%s: %w", f.Path, err))
		}
		if got := hex.EncodeToString(sum.Sum(nil)); got != f.SHA256 {
			return m, unreadable(fmt.Errorf("%s has SHA-256 %s, the manifest says %s", f.Path, got, f.SHA256))
		}
	}
	if header, err := t.Next(); err != io.EOF {
		if err == nil {
			err = fmt.Errorf("%.100q is not in the manifest", header.Name)
		}
		return m, unreadable(err)
	}
	return m, nil
}

func unreadable(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnreadable, err)
}
