package transparency

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"gocloud.dev/blob/memblob"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// TestStores has several processes append to one log, in every sort of store.
func TestStores(t *testing.T) {
	t.Parallel()
	at := func(url string) func(t *testing.T) *auditstore.Store {
		return func(t *testing.T) *auditstore.Store {
			s, err := auditstore.Open(t.Context(), url)
			must(t, err)
			t.Cleanup(func() { s.Close() })
			return s
		}
	}
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		b := memblob.OpenBucket(nil)
		appendersAtOnce(t, func(*testing.T) *auditstore.Store { return auditstore.New(b) })
	})
	t.Run("local disk", func(t *testing.T) {
		t.Parallel()
		appendersAtOnce(t, at(t.TempDir()))
	})
	t.Run("S3 server", func(t *testing.T) {
		t.Parallel()
		appendersAtOnce(t, at(testservers.S3(t).BucketURL("appenders")))
	})
}

func appendersAtOnce(t *testing.T, open func(*testing.T) *auditstore.Store) {
	const all = 300
	s := open(t)
	begun(t, s)
	var mu sync.Mutex
	trees := map[int64]tlog.Hash{}
	var processes sync.WaitGroup
	for range 3 {
		l := Open(open(t), namespace, Verdicts)
		processes.Go(func() {
			for n := int64(0); n < all; {
				c, err := advance(t.Context(), l, 40)
				if errors.Is(err, ErrNoCheckpoint) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if other, ok := trees[c.N]; ok && other != c.Hash {
					t.Errorf("two trees of size %d", c.N)
				}
				trees[c.N], n = c.Hash, c.N
				mu.Unlock()
			}
		})
	}
	judge(t, s, first, first+all-1)
	processes.Wait()
	c := advanced(t, begun(t, s), 1)
	l := begun(t, open(t))
	for index := int64(0); index < all; index += 23 {
		_, _, err := l.Entry(t.Context(), c.Tree, index)
		must(t, err)
	}
	for size, root := range trees {
		must(t, l.extends(t.Context(), c.Tree, tlog.Tree{N: size, Hash: root}))
	}
	if _, err := l.files.Get(t.Context(), l.name("tile/entries/000.p/40"), maxBundleBytes); !errors.Is(err, auditstore.ErrNotFound) {
		t.Errorf("a part of a tile that is full: %v", err)
	}
	part, err := l.File(t.Context(), "tile/0/000.p/40")
	must(t, err)
	full, err := l.File(t.Context(), "tile/0/000")
	must(t, err)
	if !bytes.Equal(part, full[:40*tlog.HashSize]) {
		t.Error("a part of a full tile is not its beginning")
	}
}

// TestSizes appends entries in steps of any size, and holds the tree against that of tlog in
// memory.
func TestSizes(t *testing.T) {
	t.Parallel()
	seeds, size := uint64(4), 1500
	if raceDetector {
		seeds, size = 1, 600
	}
	for seed := range seeds {
		random := rand.New(rand.NewPCG(seed, 7))
		s := auditstore.New(memblob.OpenBucket(nil))
		l := begun(t, s)
		var all [][]byte
		trees := []tlog.Tree{{}}
		for len(all) < size {
			judge(t, s, first+uint64(len(all)), first+uint64(len(all)+random.IntN(300)))
			c := advanced(t, l, 1+random.IntN(400))
			for i := int64(len(all)); i < c.N; i++ {
				_, data, err := s.VerdictAndBytes(t.Context(), namespace, first+uint64(i))
				must(t, err)
				all = append(all, data)
			}
			if want := treeOf(t, all); c.Tree != want {
				t.Fatalf("seed %d: the tree is %v, want %v", seed, c.Tree, want)
			}
			trees = append(trees, c.Tree)
		}
		for i, tree := range trees {
			old := trees[random.IntN(i+1)]
			must(t, l.extends(t.Context(), tree, old))
			if tree.N > 0 {
				_, _, err := l.Entry(t.Context(), tree, random.Int64N(tree.N))
				must(t, err)
			}
		}
	}
}

// TestFsck has Tessera's fsck check the tiles, as files and over HTTP, and find one that is damaged.
func TestFsck(t *testing.T) {
	t.Parallel()
	fsck := testservers.Program(t, "tessera-fsck")
	root := t.TempDir()
	s, err := auditstore.Open(t.Context(), root)
	must(t, err)
	l := begun(t, s)
	const size = 256 + 256 + 77
	for _, to := range []uint64{first + 9, first + 299, first + size - 1} {
		writeVerdicts(t, root, first, to)
		must(t, l.Publish(t.Context(), appendAll(t, l, int64(to-first)+1)))
	}
	key := filepath.Join(t.TempDir(), "key")
	_, public, err := note.GenerateKey(bytes.NewReader(make([]byte, 32)), keys[Verdicts].Name())
	must(t, err)
	must(t, os.WriteFile(key, []byte(public), 0o666))
	check := func(url string) error {
		// With one worker it hangs once that has found something, and it exits with 0 in any case.
		out, err := exec.CommandContext(t.Context(), fsck, "-ui=false", "-N=8", "-public_key", key, "-storage_url", url).CombinedOutput()
		if err == nil && !bytes.Contains(out, fmt.Appendf(nil, "Successfully fsck'd log with size %d", size)) {
			err = errors.New("no success")
		}
		if err != nil {
			err = fmt.Errorf("%w: %.2000s", err, out)
		}
		return err
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := l.File(r.Context(), strings.TrimPrefix(r.URL.Path, "/"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		_, _ = w.Write(data)
	}))
	defer server.Close()
	log := filepath.Join(root, namespace, "tlog", "verdicts")
	must(t, check("file://"+log))
	must(t, check(server.URL+"/"))
	for _, tile := range []string{
		torchwood.TilePath(tileOf(entries, 1, size)), torchwood.TilePath(tileOf(0, 1, size)), torchwood.TilePath(tileOf(0, 2, size)),
		torchwood.TilePath(tileOf(1, 0, size)),
	} {
		file := filepath.Join(log, filepath.FromSlash(tile))
		data, err := os.ReadFile(file)
		must(t, err)
		must(t, os.Remove(file))
		damaged := bytes.Clone(data)
		damaged[len(damaged)-9] ^= 1
		must(t, os.WriteFile(file, damaged, 0o444))
		if check("file://"+log) == nil {
			t.Errorf("fsck finds nothing in %s, which is damaged", tile)
		}
		must(t, os.Remove(file))
		must(t, os.WriteFile(file, data, 0o444))
	}
	must(t, check("file://"+log))
}
