package transparency

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob/memblob"
	"golang.org/x/mod/sumdb/tlog"
)

// sizeable is a verdict of the size that real ones have.
func sizeable(epoch uint64) verdict.Verdict {
	v := verdictOn(epoch)
	v.Inserted, v.Unchanged, v.VerifySeconds, v.Software = 123_456, 2_345_678, 1.234567, "ktaudit v1.2.3 (go1.26.8 linux/amd64)"
	v.Batch = verdict.Batch{Key: fmt.Sprintf("%d/%s/%s", epoch, v.PreviousDigest, v.Digest), Bytes: 41_000_000, StoredBytes: 40_000_000, Compression: "none",
		SHA256: v.Digest, ModifiedAt: time.Unix(1_790_000_000, 0).UTC(), ETag: `"` + v.Digest[:32] + `"`}
	id := uint8(7)
	v.Signature = verdict.Signature{Status: "verified", KeyID: &id, Timestamp: 1_790_000_000_000}
	v.StartedAt, v.FinishedAt = time.Unix(1_790_000_000, 123456789).UTC(), time.Unix(1_790_000_002, 345678912).UTC()
	return v
}

// writeVerdicts puts verdicts into a store on local disk, past the store, which would sync each.
func writeVerdicts(t testing.TB, root string, from, to uint64) {
	t.Helper()
	for epoch := from; epoch <= to; epoch++ {
		folder := filepath.Join(root, namespace, "verdicts", verdict.ShardName(epoch/verdict.EpochsPerShard))
		if epoch == from || epoch%verdict.EpochsPerShard == 0 {
			must(t, os.MkdirAll(folder, 0o777))
		}
		data, err := sizeable(epoch).Encode()
		must(t, err)
		must(t, os.WriteFile(filepath.Join(folder, verdict.EpochName(epoch)+".json"), data, 0o444))
	}
}

// appendAll appends until the log has so many entries.
func appendAll(t testing.TB, l *Log, size int64) (c Checkpoint) {
	t.Helper()
	for c.N < size {
		next := advanced(t, l, MaxAppend)
		if next.N <= c.N {
			t.Fatalf("the log stands still at %d of %d entries", c.N, size)
		}
		c = next
	}
	return c
}

// A log of two million entries (with KTAUDIT_LONG; otherwise fewer) is appended at 5,000 a second,
// and proofs from it are cheap.
func TestLarge(t *testing.T) {
	t.Parallel()
	disk, s3 := int64(5_000), int64(1_000)
	long := os.Getenv("KTAUDIT_LONG") != ""
	switch {
	case long:
		disk, s3 = 2_000_000, 30_000
	case raceDetector:
		disk, s3 = 600, 300
	}
	t.Run("local disk", func(t *testing.T) {
		root := t.TempDir()
		writeVerdicts(t, root, first, first+uint64(disk)-1)
		large(t, root, disk, long)
	})
	t.Run("S3 server", func(t *testing.T) {
		url := testservers.S3(t).BucketURL("large")
		s, err := auditstore.Open(t.Context(), url)
		must(t, err)
		defer s.Close()
		must(t, parallel(t.Context(), int(s3), func(ctx context.Context, i int) error {
			_, _, err := s.PutVerdict(ctx, sizeable(first+uint64(i)))
			return err
		}))
		large(t, url, s3, false)
	})
}

func large(t *testing.T, url string, size int64, timed bool) {
	s, err := auditstore.Open(t.Context(), url)
	must(t, err)
	defer s.Close()
	l := begun(t, s)
	start := time.Now()
	c := appendAll(t, l, size)
	rate := float64(size) / time.Since(start).Seconds()
	start = time.Now()
	const proofs = 100
	for i := range int64(proofs) {
		_, _, err := l.Entry(t.Context(), c.Tree, i*(size-1)/(proofs-1))
		must(t, err)
	}
	each := time.Since(start) / proofs
	t.Logf("%d entries: %.0f appended a second, %v for a proof", size, rate, each)
	if timed && (rate < 5000 || each > 50*time.Millisecond) {
		t.Error("want 5000 appended a second, 50 ms for a proof")
	}
}

// TestReads counts the requests that proofs take, in a tree of the shape that two million entries
// have: only the tiles on the way to some entries are there.
func TestReads(t *testing.T) {
	t.Parallel()
	const size = 2_026_881
	p := &jobstest.ArchiveStore{Bucket: memblob.OpenBucket(nil)}
	p.Store = auditstore.New(p.Bucket)
	watched, store := p.Watched(t, jobstest.NoFault)
	indexes := []int64{0, 1, 255, 256, 65_535, 65_536, 1_000_000, 1<<20 - 1, 1 << 20, size - 2, size - 1}
	sizes := []int64{1, 255, 256, 65_535, 1_000_000, 1 << 20, size - 300, size - 1}
	tree := sparse(t, p.Store, size, append(slices.Clone(indexes), sizes...))
	l := Open(store.Store, namespace, Verdicts)
	most := int64(0)
	count := func(what string, limit int64, do func() error) {
		t.Helper()
		before := watched.Requests.Load()
		must(t, do())
		n := watched.Requests.Load() - before
		if most = max(most, n); n > limit {
			t.Errorf("%s takes %d requests, want at most %d", what, n, limit)
		}
	}
	for _, index := range indexes {
		count(fmt.Sprint("a proof of entry ", index), 29, func() error {
			_, proof, err := l.Entry(t.Context(), tree, index)
			if err == nil {
				err = tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entryOf(index)))
			}
			return err
		})
	}
	for _, old := range sizes {
		count(fmt.Sprint("a proof of consistency with size ", old), 29, func() error {
			_, err := l.Consistency(t.Context(), tree, old)
			return err
		})
	}
	t.Logf("at most %d requests", most)
}

func entryOf(index int64) []byte { return fmt.Appendf(nil, "entry %d\n", index) }

// sparseTree is a tree of made-up entries, of which only some tiles of entries are there. What
// stands over the others is made up, too.
type sparseTree struct{ levels [3][]tlog.Hash }

func (s *sparseTree) hash(level int, n int64) tlog.Hash {
	if level%torchwood.TileHeight == 0 {
		return s.levels[level/torchwood.TileHeight][n]
	}
	return tlog.NodeHash(s.hash(level-1, 2*n), s.hash(level-1, 2*n+1))
}

// over is the hash over the hashes in a tile.
func (s *sparseTree) over(level int, n int64) tlog.Hash {
	below := (level+1)*torchwood.TileHeight - 1
	return tlog.NodeHash(s.hash(below, 2*n), s.hash(below, 2*n+1))
}

func (s *sparseTree) ReadHashes(indexes []int64) (all []tlog.Hash, err error) {
	for _, i := range indexes {
		all = append(all, s.hash(tlog.SplitStoredHashIndex(i)))
	}
	return all, nil
}

// sparse writes a tree of so many entries, with the tiles of entries that hold some of them.
func sparse(t *testing.T, store *auditstore.Store, size int64, indexes []int64) tlog.Tree {
	t.Helper()
	s := &sparseTree{}
	l := Open(store, namespace, Verdicts)
	s.levels[0] = make([]tlog.Hash, size)
	var made []tlog.Tile
	for _, index := range append(indexes, size-1) {
		tile := tileOf(entries, index>>torchwood.TileHeight, size)
		var data []byte
		for i := range int64(tile.W) {
			entry := entryOf(tile.N<<torchwood.TileHeight + i)
			s.levels[0][tile.N<<torchwood.TileHeight+i] = tlog.RecordHash(entry)
			var err error
			data, err = torchwood.AppendTileEntry(data, entry)
			must(t, err)
		}
		putTile(t, l, tile, data)
		made = append(made, tileOf(0, tile.N, size))
	}
	for n := range size >> 8 {
		h := tlog.RecordHash(fmt.Append(nil, n))
		if slices.ContainsFunc(made, func(t tlog.Tile) bool { return t.N == n }) {
			h = s.over(0, n)
		}
		s.levels[1] = append(s.levels[1], h)
	}
	for n := range size >> 16 {
		s.levels[2] = append(s.levels[2], s.over(1, n))
	}
	for level := 1; level < len(s.levels); level++ {
		for n := int64(0); n<<8 < size>>(8*level); n++ {
			made = append(made, tileOf(level, n, size))
		}
	}
	for _, tile := range made {
		data, err := tlog.ReadTileData(tile, s)
		must(t, err)
		putTile(t, l, tile, data)
	}
	root, err := tlog.TreeHash(size, s)
	must(t, err)
	return tlog.Tree{N: size, Hash: root}
}

func BenchmarkAppend(b *testing.B) {
	root := b.TempDir()
	writeVerdicts(b, root, first, first+uint64(b.N)-1)
	s, err := auditstore.Open(b.Context(), root)
	must(b, err)
	defer s.Close()
	l := begun(b, s)
	b.ReportAllocs()
	b.ResetTimer()
	appendAll(b, l, int64(b.N))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
