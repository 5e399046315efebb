package simlog

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/validator"
)

// labelOf is the reverse of the reference's bits.
func labelOf(bits string) (l label) {
	for i, bit := range bits {
		if bit == '1' {
			l.setBit(uint16(i))
		}
	}
	return l
}

// TestTreeAgreesWithVectors builds both trees of every real epoch from its elements.
func TestTreeAgreesWithVectors(t *testing.T) {
	t.Parallel()
	for folder, v := range vectorLogs {
		h, err := newHasher(v.configuration)
		if err != nil {
			t.Fatal(err)
		}
		for epoch, p := range readLog(t, folder) {
			d, err := decode(p.data)
			if err != nil {
				t.Fatal(err)
			}
			tree := newTree(h)
			for _, e := range d.unchanged {
				if _, err := tree.insert(labelOf(e.bits), uint16(len(e.bits)), e.value, epoch-1); err != nil {
					t.Fatal(err)
				}
			}
			tree.rehash(epoch - 1)
			if tree.digest() != value(p.name.PreviousDigest) {
				t.Errorf("%s, epoch %d: previous digest %x, want %s", folder, epoch, tree.digest(), p.name.PreviousDigest)
			}
			for _, e := range d.inserted {
				if _, err := tree.insert(labelOf(e.bits), maxLength, h.leaf(e.value, epoch), epoch); err != nil {
					t.Fatal(err)
				}
			}
			tree.rehash(epoch)
			if tree.digest() != value(p.name.Digest) {
				t.Errorf("%s, epoch %d: digest %x, want %s", folder, epoch, tree.digest(), p.name.Digest)
			}
		}
	}
}

// TestProofsAreThoseThatAkdPublished replays real logs. Given the same leaves from the first epoch
// on, this package publishes the very bytes that akd did for the log's last epoch. These logs were
// published after that epoch: akd reads a proof off its latest tree, so that of an unchanged
// subtree which a later epoch changed it lists the parts.
func TestProofsAreThoseThatAkdPublished(t *testing.T) {
	t.Parallel()
	for folder, v := range vectorLogs {
		if !v.complete {
			continue
		}
		h, err := newHasher(v.configuration)
		if err != nil {
			t.Fatal(err)
		}
		tree := newTree(h)
		log := readLog(t, folder)
		epochs := slices.Sorted(maps.Keys(log))
		for _, epoch := range epochs {
			akd, err := decode(log[epoch].data)
			if err != nil {
				t.Fatal(err)
			}
			p := replay(t, tree, akd, epoch)
			var written bytes.Buffer
			c, err := p.write(&written)
			if err != nil {
				t.Fatal(err)
			}
			ours, err := decode(written.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if want := (counts{len(ours.inserted), len(ours.unchanged), int64(written.Len())}); c != want {
				t.Errorf("%s, epoch %d: counted %+v, want %+v", folder, epoch, c, want)
			}
			if !slices.Equal(ours.inserted, akd.inserted) {
				t.Errorf("%s, epoch %d: other insertions than akd's, or in another order", folder, epoch)
			}
			if epoch == epochs[len(epochs)-1] && !bytes.Equal(written.Bytes(), log[epoch].data) {
				t.Errorf("%s, epoch %d: %d bytes that differ from akd's %d", folder, epoch, written.Len(), len(log[epoch].data))
			}
			for _, e := range akd.unchanged {
				if !slices.ContainsFunc(ours.unchanged, func(o element) bool { return strings.HasPrefix(e.bits, o.bits) }) {
					t.Errorf("%s, epoch %d: akd's unchanged %s is not in ours", folder, epoch, e.bits)
				}
			}
		}
	}
}

// replay brings a tree from one real epoch to the next.
func replay(t *testing.T, tree *tree, akd decoded, epoch uint64) proof {
	t.Helper()
	p := proof{tree: tree, epoch: epoch}
	for _, e := range akd.inserted {
		p.batch = append(p.batch, insertion{labelOf(e.bits), maxLength, e.value})
	}
	sortInsertions(p.batch)
	for _, b := range p.batch {
		if _, err := tree.insert(b.label, b.length, tree.hash.leaf(b.commitment, epoch), epoch); err != nil {
			t.Fatal(err)
		}
	}
	tree.rehash(epoch)
	return p
}

func TestInsertRefusesWhatNoTreeHas(t *testing.T) {
	t.Parallel()
	h, err := newHasher(validator.WhatsAppV1())
	if err != nil {
		t.Fatal(err)
	}
	tree := newTree(h)
	for _, bits := range []string{"0101", "0110"} {
		if _, err := tree.insert(labelOf(bits), 4, value{}, 1); err != nil {
			t.Fatal(err)
		}
	}
	for name, bits := range map[string]string{
		"a label that is there":     "0101",
		"one below a closed node":   "01011",
		"one above a closed node":   "010",
		"one above several of them": "01",
	} {
		if _, err := tree.insert(labelOf(bits), uint16(len(bits)), value{}, 1); err == nil {
			t.Errorf("%s: inserted", name)
		}
	}
}

// TestRemoveUndoesInsert: a tree that got a leaf and lost it is the tree it was.
func TestRemoveUndoesInsert(t *testing.T) {
	t.Parallel()
	h, err := newHasher(validator.WhatsAppV1())
	if err != nil {
		t.Fatal(err)
	}
	r := newRandom(1, "test", 0)
	tree := newTree(h)
	for epoch := uint64(1); epoch < 30; epoch++ {
		before := tree.digest()
		l := label(r.value())
		leaf, err := tree.insert(l, maxLength, r.value(), epoch)
		if err != nil {
			t.Fatal(err)
		}
		tree.rehash(epoch)
		path := []uint32{none}
		for path[len(path)-1] != leaf {
			n := tree.nodes.at(path[len(path)-1])
			path = append(path, n.kids[l.bit(n.length)])
		}
		tree.remove(path, epoch)
		tree.rehash(epoch)
		if tree.digest() != before {
			t.Fatalf("epoch %d: digest %x after inserting and removing a leaf, was %x", epoch, tree.digest(), before)
		}
		if _, err := tree.insert(l, maxLength, r.value(), epoch); err != nil {
			t.Fatal(err)
		}
		tree.rehash(epoch)
	}
}
