package audit

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/verdict"
)

// A new look that contradicts the verdict keeps the batch that it saw: in the archive, or among the
// evidence if another batch is there, or its size and hash if it is too large for that. What the
// archive has stays.
func TestContradictingBatchIsKept(t *testing.T) {
	t.Parallel()
	const epoch = 3
	rewritten := []byte("rewritten")
	large := bytes.Repeat([]byte("large"), auditstore.MaxEvidenceBytes/5+1)
	for _, c := range []struct {
		name    string
		kind    simlog.Kind // of the epoch that has the verdict
		archive bool        // all batches are kept
		rewrite func(t *testing.T, w *world, honest []byte) (seen []byte)
		want    string // where what is seen is to be
	}{
		{"in the archive", "", false, overwrite(epoch, rewritten), "archive"},
		{"in the archive, of any size", "", false, overwrite(epoch, large), "archive"},
		{"among the evidence", "", true, overwrite(epoch, rewritten), "evidence"},
		{"too large for evidence", "", true, overwrite(epoch, large), "hash"},
		{"mended", simlog.Malformed, false, func(t *testing.T, w *world, honest []byte) []byte {
			return overwrite(epoch, honest)(t, w, nil)
		}, "evidence"},
		{"verified under another name", "", false, func(t *testing.T, w *world, _ []byte) []byte {
			other := newWorld(t, simlog.Options{Epochs: epoch, Seed: 7})
			for _, e := range []uint64{epoch - 1, epoch} { // its batch is signed, and goes on from nothing that was verified
				key := w.KeyOf(t, e)
				jobstest.MoveObject(t, w.Log, key, "")
				data, err := other.Log.ReadAll(t.Context(), other.KeyOf(t, e))
				if err == nil {
					err = w.Log.WriteAll(t.Context(), other.KeyOf(t, e), data, nil)
				}
				if err != nil {
					t.Fatal(err)
				}
				writeSigned(t, w, e, readSigned(t, other, e))
			}
			data, err := w.Log.ReadAll(t.Context(), w.KeyOf(t, epoch))
			if err != nil {
				t.Fatal(err)
			}
			return data
		}, "archive"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := simlog.Options{Epochs: epoch + 1}
			honest, err := newWorld(t, o).batch(t, epoch)
			if err != nil {
				t.Fatal(err)
			}
			if c.kind != "" {
				o.Tamper = map[uint64]simlog.Kind{epoch: c.kind}
			}
			w := newWorld(t, o)
			w.config.Archive = c.archive
			if _, err := w.auditor(t).Audit(t.Context(), epoch); err != nil {
				t.Fatal(err)
			}
			archived := w.archived(t, epoch)
			seen := c.rewrite(t, w, honest)
			for range 2 { // and to look twice changes nothing
				var contradiction *ContradictionError
				if _, err := w.auditor(t).Reaudit(t.Context(), epoch); !errors.As(err, &contradiction) {
					t.Fatalf("error %v, want a ContradictionError", err)
				}
			}
			evidence := w.Evidence(t, epoch)
			inEvidence := slices.Contains(evidence, string(seen))
			hashed := slices.ContainsFunc(evidence, func(p string) bool { return strings.HasPrefix(p, `{"key"`) && strings.Contains(p, `"sha256"`) })
			now := w.archived(t, epoch)
			switch c.want {
			case "archive":
				archived = seen
			case "evidence":
				if !inEvidence {
					t.Error("the evidence lacks the batch")
				}
			case "hash":
				if !hashed || inEvidence {
					t.Errorf("hash %v, batch %v: want the batch's size and hash among the evidence", hashed, inEvidence)
				}
			}
			if !bytes.Equal(now, archived) {
				t.Errorf("the archive has %d bytes, want %d", len(now), len(archived))
			}
		})
	}
}

// What a second batch's name shows has no batch to keep; the names are the evidence.
func TestContradictingNamesAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 3})
	if _, err := w.auditor(t).Audit(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	key := w.KeyOf(t, 2)
	other := key[:len(key)-64] + strings.Repeat("ab", 32)
	if err := w.Log.Copy(t.Context(), other, key, nil); err != nil {
		t.Fatal(err)
	}
	var contradiction *ContradictionError
	if _, err := w.auditor(t).Reaudit(t.Context(), 2); !errors.As(err, &contradiction) || contradiction.Found.Reason != verdict.Equivocation {
		t.Fatalf("error %v, want a ContradictionError for an equivocation", err)
	}
	named := func(p string) bool { return strings.HasPrefix(p, `{"epoch":2,"keys":[`) && strings.Contains(p, other) }
	if evidence := w.Evidence(t, 2); !slices.ContainsFunc(evidence, named) {
		t.Errorf("evidence is %q, want the names of both batches", evidence)
	}
}

// overwrite puts other bytes in the place of a batch.
func overwrite(epoch uint64, data []byte) func(*testing.T, *world, []byte) []byte {
	return func(t *testing.T, w *world, _ []byte) []byte {
		t.Helper()
		if err := w.Log.WriteAll(t.Context(), w.KeyOf(t, epoch), data, nil); err != nil {
			t.Fatal(err)
		}
		return data
	}
}

// batch returns an epoch's batch, as the log has it.
func (w *world) batch(t *testing.T, epoch uint64) ([]byte, error) {
	t.Helper()
	return w.Log.ReadAll(t.Context(), w.KeyOf(t, epoch))
}

// archived returns an epoch's archived batch; nothing if there is none.
func (w *world) archived(t *testing.T, epoch uint64) []byte {
	t.Helper()
	archive, err := w.config.Store.OpenArchive(t.Context(), jobstest.Namespace, epoch)
	if errors.Is(err, auditstore.ErrNotFound) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	data, err := io.ReadAll(archive)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
