package golden_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/jobs/seal"
	"github.com/ktaudit/ktaudit/jobs/verdictcheck"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// sealTwoShards seals shards 0 and 2. In the first an epoch is rejected, one does not continue the
// one before, and one ends with a digest that was there before.
func sealTwoShards(t *testing.T) []object {
	w, _ := sealed(t)
	return w.audit.objects()
}

// checkTampered finds that a verdict that was sealed has gone. What is said of that is part of the
// alert's name.
func checkTampered(t *testing.T) []object {
	w, sealer := sealed(t)
	must(t, w.audit.memory.Delete(t.Context(), namespace+"/verdicts/000000002/000000002007.json"))
	check, err := sealer.Check(t.Context(), 2000, 2999)
	must(t, err)
	if len(check.Mismatches) != 1 {
		t.Fatalf("%+v, want one mismatch", check)
	}
	return w.audit.objects()
}

func sealed(t *testing.T) (*world, *seal.Sealer) {
	t.Helper()
	w := emptyWorld(t)
	for epoch := uint64(1); epoch < 3000; epoch++ {
		v := verdictOn(epoch)
		switch epoch {
		case 5:
			v.Outcome, v.Reason, v.Detail = verdict.Rejected, "overlapping_labels", "two labels"
		case 9:
			v.PreviousDigest = digest(1 << 18)
		case 12:
			v.Digest = digest(3)
		case 13:
			v.PreviousDigest = digest(3)
		case 1500: // no verdict: its shard stays open
			continue
		}
		w.put(t, v)
	}
	sealer := &seal.Sealer{Store: w.store, Namespace: namespace, Log: zerolog.Nop()}
	counts, err := sealer.Seal(t.Context(), 1, 2999)
	must(t, err)
	if counts.Sealed != 2 {
		t.Fatalf("%+v, want 2 sealed", counts)
	}
	return w, sealer
}

// writeToDisk stores objects of several sorts in a folder, where each is a file.
func writeToDisk(t *testing.T) []object {
	dir := t.TempDir()
	store, err := auditstore.Open(t.Context(), dir)
	must(t, err)
	defer store.Close()
	must(t, store.CheckWritable(t.Context()))
	_, _, err = store.PutVerdict(t.Context(), verdictOn(1))
	must(t, err)
	must(t, store.PutSignature(t.Context(), namespace, 1, []byte("{}\n")))
	must(t, store.PutEvidence(t.Context(), namespace, 1, "some-44136fa355b3678a.json", []byte("{}")))
	archive, err := store.ArchiveWriter(t.Context(), namespace, 1, ".zst")
	must(t, err)
	_, err = archive.Write([]byte("a batch\n"))
	must(t, err)
	must(t, archive.Commit())

	var all []object
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		key, relErr := filepath.Rel(dir, path)
		must(t, relErr)
		all = append(all, object{key: filepath.ToSlash(key), data: data})
		return err
	}))
	return all
}

// indexDigests enters the digests of an older version's verdicts in the index.
func indexDigests(t *testing.T) []object {
	w := emptyWorld(t)
	w.put(t, verdictOn(1))
	w.put(t, verdictOn(2001))
	must(t, verdictcheck.CompleteIndex(t.Context(), w.store, namespace))
	return w.audit.objects()
}
