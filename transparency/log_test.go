package transparency

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob/memblob"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	namespace = "example.key-transparency.v1"
	base      = "auditor.example.org"
	first     = uint64(1001)
)

// keys are those of the two logs.
var keys = map[Kind]key{Verdicts: newKey(Verdicts), Events: newKey(Events)}

type key struct {
	note.Signer
	own torchwood.Policy
}

func newKey(kind Kind) key {
	secret, public, err := note.GenerateKey(bytes.NewReader(make([]byte, 32)), Origin(base, namespace, kind))
	if err != nil {
		panic(err)
	}
	signer, err1 := note.NewSigner(secret)
	verifier, err2 := note.NewVerifier(public)
	if err := errors.Join(err1, err2); err != nil {
		panic(err)
	}
	return key{signer, Own(signer.Name(), verifier)}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func verdictOn(epoch uint64) verdict.Verdict {
	digest := func(n uint64) string { return fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, n))) }
	return verdict.Verdict{
		Schema: verdict.Schema, Namespace: namespace, Epoch: epoch, Outcome: verdict.Verified,
		PreviousDigest: digest(epoch - 1), Digest: digest(epoch), Batch: verdict.Batch{SHA256: digest(epoch)},
	}
}

func judge(t testing.TB, s *auditstore.Store, from, to uint64) {
	t.Helper()
	for epoch := from; epoch <= to; epoch++ {
		_, _, err := s.PutVerdict(t.Context(), verdictOn(epoch))
		must(t, err)
	}
}

func begun(t testing.TB, s *auditstore.Store) *Log {
	t.Helper()
	l := Open(s, namespace, Verdicts)
	_, err := l.Begin(t.Context(), first)
	must(t, err)
	return l
}

func advance(ctx context.Context, l *Log, limit int) (Checkpoint, error) {
	return l.Advance(ctx, keys[l.kind], keys[l.kind].own, limit)
}

func advanced(t testing.TB, l *Log, limit int) Checkpoint {
	t.Helper()
	c, err := advance(t.Context(), l, limit)
	must(t, err)
	return c
}

// treeOf is the tree of some entries, as tlog computes it in memory.
func treeOf(t testing.TB, entries [][]byte) tlog.Tree {
	t.Helper()
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) (all []tlog.Hash, err error) {
		for _, i := range indexes {
			all = append(all, hashes[i])
		}
		return all, nil
	})
	for i, e := range entries {
		more, err := tlog.StoredHashes(int64(i), e, reader)
		must(t, err)
		hashes = append(hashes, more...)
	}
	root, err := tlog.TreeHash(int64(len(entries)), reader)
	must(t, err)
	return tlog.Tree{N: int64(len(entries)), Hash: root}
}

func TestAppending(t *testing.T) {
	t.Parallel()
	s := auditstore.New(memblob.OpenBucket(nil))
	l := begun(t, s)
	if _, err := advance(t.Context(), l, 100); !errors.Is(err, ErrNoCheckpoint) {
		t.Errorf("nothing to append: %v", err)
	}
	var entries [][]byte
	var old []Checkpoint
	for _, to := range []uint64{1001, 1002, 1100, 1256, 1257, 1900} {
		judge(t, s, first+uint64(len(entries)), to)
		for epoch := first + uint64(len(entries)); epoch <= to; epoch++ {
			_, data, err := s.VerdictAndBytes(t.Context(), namespace, epoch)
			must(t, err)
			entries = append(entries, data)
		}
		c := advanced(t, l, 1000)
		if want := treeOf(t, entries); c.Tree != want {
			t.Fatalf("up to epoch %d the tree is %v, want %v", to, c.Tree, want)
		}
		old = append(old, c)
		if again := advanced(t, Open(s, namespace, Verdicts), 1000); again.Generation != c.Generation || !bytes.Equal(again.Note, c.Note) {
			t.Errorf("with nothing due, the checkpoint is %+v, not %+v", again, c)
		}
		must(t, l.Publish(t.Context(), c))
		data, err := l.File(t.Context(), "checkpoint")
		if err != nil || !bytes.Equal(data, c.Note) {
			t.Errorf("the mirror is %q, %v", data, err)
		}
	}
	newest := old[len(old)-1]
	for _, c := range old {
		proof, err := l.Consistency(t.Context(), newest.Tree, c.N)
		must(t, err)
		if c.N < newest.N {
			must(t, tlog.CheckTree(proof, newest.N, newest.Hash, c.N, c.Hash))
		}
		for index := c.N % 7; index < c.N; index += 7 {
			entry, proof, err := l.Entry(t.Context(), c.Tree, index)
			must(t, err)
			if !bytes.Equal(entry, entries[index]) {
				t.Fatalf("entry %d is %q", index, entry)
			}
			must(t, tlog.CheckRecord(proof, c.N, c.Hash, index, tlog.RecordHash(entry)))
		}
	}
}

func TestAbsence(t *testing.T) {
	t.Parallel()
	s := auditstore.New(memblob.OpenBucket(nil))
	l := begun(t, s)
	judge(t, s, 1001, 1003)
	judge(t, s, 1006, 1007)
	if c := advanced(t, l, 100); c.N != 3 {
		t.Fatalf("the log goes on over epochs without verdicts: %d", c.N)
	}
	at := time.Unix(1_800_000_000, 0)
	for epoch, want := range map[uint64]error{1002: ErrJudged, 1006: ErrJudged, 1000: ErrCovered} {
		if _, err := l.PutAbsence(t.Context(), epoch, "somebody", "it is gone", at); !errors.Is(err, want) {
			t.Errorf("epoch %d is recorded as absent: %v", epoch, err)
		}
	}
	for _, epoch := range []uint64{1004, 1005} {
		a, err := l.PutAbsence(t.Context(), epoch, "somebody", "it was <never> published", at)
		must(t, err)
		if again, err := l.PutAbsence(t.Context(), epoch, "somebody else", "another reason", at); err != nil || again != a {
			t.Errorf("a second absence of epoch %d: %+v, %v", epoch, again, err)
		}
	}
	judge(t, s, 1005, 1005) // late, and before the plan: the verdict counts
	c := advanced(t, l, 100)
	if c.N != 7 {
		t.Fatalf("%d entries, want 7", c.N)
	}
	for index := range c.N {
		entry, _, err := l.Entry(t.Context(), c.Tree, index)
		must(t, err)
		a, errAbsence := verdict.DecodeAbsence(entry)
		v, errVerdict := verdict.Decode(entry)
		if (errAbsence == nil) != (index == 3) || (errVerdict == nil) == (index == 3) {
			t.Errorf("entry %d is %q: %v, %v", index, entry, errAbsence, errVerdict)
		}
		if max(a.Epoch, v.Epoch) != first+uint64(index) {
			t.Errorf("entry %d is on another epoch: %q", index, entry)
		}
	}
	if _, err := l.PutAbsence(t.Context(), 1003, "somebody", strings.Repeat("x", 5000), at); err == nil {
		t.Error("a reason of any length is taken")
	}
}

func putTile(t testing.TB, l *Log, tile tlog.Tile, data []byte) {
	t.Helper()
	_, err := l.files.Put(t.Context(), l.name(torchwood.TilePath(tile)), data, maxBundleBytes)
	must(t, err)
}
