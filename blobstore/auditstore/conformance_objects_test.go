package auditstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/ktaudit/ktaudit/verdict"
)

func signatureIsWrittenOnce(t *testing.T, open opener) {
	s := open(t)
	if _, err := s.Signature(t.Context(), namespace, 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("before: %v", err)
	}
	for range 2 {
		if err := s.PutSignature(t.Context(), namespace, 1, []byte("one")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutSignature(t.Context(), namespace, 1, []byte("two")); !errors.Is(err, ErrDiffers) {
		t.Errorf("another one: %v, want ErrDiffers", err)
	}
	if got, err := open(t).Signature(t.Context(), namespace, 1); err != nil || string(got) != "one" {
		t.Errorf("on record: %q, %v", got, err)
	}
}

func evidenceIsWrittenOnce(t *testing.T, open opener) {
	s := open(t)
	for range 2 {
		for _, name := range []string{"batches.json", "verdict-2.json"} {
			if err := s.PutEvidence(t.Context(), namespace, 1, name, []byte(name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.PutEvidence(t.Context(), namespace, 1, "batches.json", nil); !errors.Is(err, ErrDiffers) {
		t.Errorf("other bytes: %v, want ErrDiffers", err)
	}
	if got, err := open(t).Evidence(t.Context(), namespace, 1, "batches.json"); err != nil || string(got) != "batches.json" {
		t.Errorf("on record: %q, %v", got, err)
	}
	if _, err := s.Evidence(t.Context(), namespace, 2, "batches.json"); !errors.Is(err, ErrNotFound) {
		t.Errorf("of another epoch: %v", err)
	}
}

func sizesAreLimited(t *testing.T, open opener) {
	s := open(t)
	if err := s.PutSignature(t.Context(), namespace, 1, make([]byte, MaxSignatureBytes+1)); err == nil {
		t.Error("a signature over the limit is taken")
	}
	if err := s.PutSignature(t.Context(), namespace, 1, make([]byte, MaxSignatureBytes)); err != nil {
		t.Error(err)
	}
	if err := s.PutEvidence(t.Context(), namespace, 1, "e", make([]byte, MaxEvidenceBytes+1)); err == nil {
		t.Error("evidence over the limit is taken")
	}
	v := verdictBy(1, "w")
	v.Outcome, v.Reason, v.Detail = verdict.Rejected, "malformed_proof", strings.Repeat("\x01", verdict.MaxDetailBytes)
	put(t, s, v) // the largest detail fits, each byte taking six
	v.Epoch, v.Software = 2, strings.Repeat("x", verdict.MaxBytes)
	if _, _, err := s.PutVerdict(t.Context(), v); err == nil {
		t.Error("a verdict over the limit is taken")
	}
}

// archive writes a batch in pieces and commits it.
func archive(ctx context.Context, s *Store, epoch uint64, extension string, data []byte) error {
	w, err := s.ArchiveWriter(ctx, namespace, epoch, extension)
	if err != nil {
		return err
	}
	defer w.Abort()
	for len(data) > 0 {
		n := min(len(data), 100_000)
		if _, err := w.Write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return errors.Join(w.Commit(), w.Commit())
}

func wantArchive(t *testing.T, s *Store, epoch uint64, key string, want []byte) {
	t.Helper()
	a, err := s.OpenArchive(t.Context(), namespace, epoch)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	got, err := io.ReadAll(a)
	if err != nil || !bytes.Equal(got, want) || a.Size != int64(len(want)) || a.Key != key {
		t.Errorf("%s: %d bytes of %d, %v, want %s with %d bytes", a.Key, len(got), a.Size, err, key, len(want))
	}
}

func wantNoArchive(t *testing.T, s *Store, epoch uint64) {
	t.Helper()
	if _, err := s.OpenArchive(t.Context(), namespace, epoch); !errors.Is(err, ErrNotFound) {
		t.Errorf("archive of epoch %d: %v, want ErrNotFound", epoch, err)
	}
}

func archiveIsWrittenOnce(t *testing.T, open opener) {
	s := open(t)
	wantNoArchive(t, s, 1)
	for epoch, extension := range extensions {
		for range 2 {
			if err := archive(t.Context(), s, uint64(epoch), extension, []byte("one")); err != nil {
				t.Fatal(err)
			}
		}
		for _, other := range []string{"two", "longer", ""} {
			if err := archive(t.Context(), s, uint64(epoch), extension, []byte(other)); !errors.Is(err, ErrDiffers) {
				t.Errorf("other bytes: %v, want ErrDiffers", err)
			}
		}
		wantArchive(t, open(t), uint64(epoch), namespace+"/archive/000000000/00000000000"+string(rune('0'+epoch))+extension, []byte("one"))
	}
}

// largeArchiveIsWrittenOnce is about uploads in parts.
func largeArchiveIsWrittenOnce(t *testing.T, open opener) {
	data := make([]byte, 20<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data)
	for range 2 {
		if err := archive(t.Context(), open(t), 1, ".zst", data); err != nil {
			t.Fatal(err)
		}
	}
	other := bytes.Clone(data)
	other[len(other)-1]++
	if err := archive(t.Context(), open(t), 1, ".zst", other); !errors.Is(err, ErrDiffers) {
		t.Errorf("other bytes: %v, want ErrDiffers", err)
	}
	wantArchive(t, open(t), 1, namespace+"/archive/000000000/000000000001.zst", data)
}

func abortedArchiveLeavesNothing(t *testing.T, open opener) {
	s := open(t)
	for epoch, size := range []int{0, 3, 20 << 20} {
		w, err := s.ArchiveWriter(t.Context(), namespace, uint64(epoch), "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		w.Abort()
		w.Abort()
		if err := w.Commit(); err == nil {
			t.Error("an aborted archive is committed")
		}
		if _, err := w.Write([]byte("x")); err == nil {
			t.Error("an aborted archive is written to")
		}
		wantNoArchive(t, s, uint64(epoch))
	}
}

func cancelledArchiveLeavesNothing(t *testing.T, open opener) {
	s := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	w, err := s.ArchiveWriter(ctx, namespace, 1, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := w.Commit(); !errors.Is(err, context.Canceled) {
		t.Errorf("commit after cancellation: %v", err)
	}
	wantNoArchive(t, s, 1)
}

func contendedArchiveIsWhole(t *testing.T, open opener) {
	data := bytes.Repeat([]byte("batch "), 50_000)
	var wg sync.WaitGroup
	for range 6 {
		s := open(t)
		wg.Go(func() {
			for epoch := range uint64(5) {
				if err := archive(t.Context(), s, epoch, ".s2", data); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantArchive(t, open(t), 4, namespace+"/archive/000000000/000000000004.s2", data)
}
