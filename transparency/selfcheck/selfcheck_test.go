package selfcheck

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
	"golang.org/x/mod/sumdb/note"
)

const (
	namespace = "example.key-transparency.v1"
	first     = uint64(1000)
	size      = 1300 // a shard is full
)

type key struct {
	note.Signer
	verifier note.Verifier
}

func newKey(t testing.TB, name string, seed byte) key {
	t.Helper()
	secret, public, err := note.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{seed}, 32)), name)
	must(t, err)
	signer, err := note.NewSigner(secret)
	must(t, err)
	verifier, err := note.NewVerifier(public)
	must(t, err)
	return key{signer, verifier}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is an audit store with both logs, the verdict log of which was witnessed.
type world struct {
	*testing.T
	bucket  *blob.Bucket
	store   *auditstore.Store
	keys    map[transparency.Kind]key
	witness key
	older   []byte // a checkpoint that somebody kept
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := emptyWorld(t)
	made := template(t)
	w.restore(made.objects)
	w.older = made.older
	return w
}

type objects struct {
	objects map[string][]byte
	older   []byte
}

var (
	once sync.Once
	made objects
)

// template makes the world that all tests begin with.
func template(t *testing.T) objects {
	once.Do(func() {
		w := emptyWorld(t)
		w.fill()
		made = objects{w.remove(""), w.older}
	})
	return made
}

func emptyWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, bucket: memblob.OpenBucket(nil), keys: map[transparency.Kind]key{}, witness: newKey(t, "witness.example.net", 9)}
	w.store = auditstore.New(w.bucket)
	for _, kind := range []transparency.Kind{transparency.Verdicts, transparency.Events} {
		w.keys[kind] = newKey(t, transparency.Origin("auditor.example.org", namespace, kind), 1)
	}
	return w
}

func (w *world) fill() {
	t := w.T
	_, err := transparency.Open(w.store, namespace, transparency.Verdicts).Begin(t.Context(), first)
	must(t, err)
	w.judge(first, first+99, "")
	w.older = w.advance().Note
	w.judge(first+100, first+size-1, "")
	w.seal()
	w.advance()
}

func verdictOn(epoch uint64, software string) verdict.Verdict {
	digest := func(n uint64) string { return fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, n))) }
	return verdict.Verdict{
		Schema: verdict.Schema, Namespace: namespace, Epoch: epoch, Outcome: verdict.Verified, Software: software,
		PreviousDigest: digest(epoch - 1), Digest: digest(epoch), Batch: verdict.Batch{SHA256: digest(epoch)},
	}
}

func (w *world) judge(from, to uint64, software string) {
	w.Helper()
	for epoch := from; epoch <= to; epoch++ {
		_, _, err := w.store.PutVerdict(w.Context(), verdictOn(epoch, software))
		must(w, err)
	}
}

// seal seals the full shards as they are, and writes the history.
func (w *world) seal() {
	w.Helper()
	h, err := w.store.History(w.Context(), namespace)
	must(w, err)
	h.Spans = nil
	for shard := first / verdict.EpochsPerShard; (shard+1)*verdict.EpochsPerShard <= first+size; shard++ {
		seal := verdict.NewSeal(namespace, shard)
		from, to := verdict.ShardRange(shard)
		for epoch := from; epoch <= to; epoch++ {
			v, hash, err := w.store.VerdictObject(w.Context(), namespace, epoch)
			must(w, err)
			seal.Add(v, hash)
		}
		hash, err := w.store.PutSeal(w.Context(), seal)
		must(w, err)
		span := verdict.SealedSpan{Span: seal.Span, Seals: []string{hash}}
		if n := len(h.Spans); n > 0 {
			span = verdict.SealedSpan{Span: h.Spans[n-1].Join(seal.Span), Seals: append(h.Spans[n-1].Seals, hash)}
			h.Spans = h.Spans[:n-1]
		}
		h.Spans = append(h.Spans, span)
	}
	_, err = w.store.PutHistory(w.Context(), h)
	must(w, err)
}

// advance brings both logs up to date, and has the verdict log witnessed and published.
func (w *world) advance() transparency.Checkpoint {
	w.Helper()
	_, err := transparency.NewRecorder(w.store, namespace, nil).Record(w.Context())
	must(w, err)
	var verdicts transparency.Checkpoint
	for kind, k := range w.keys {
		l := transparency.Open(w.store, namespace, kind)
		c, err := l.Advance(w.Context(), k, transparency.Own(k.Name(), k.verifier), 10_000)
		if errors.Is(err, transparency.ErrNoCheckpoint) && kind == transparency.Events {
			continue
		}
		must(w, err)
		n, err := note.Open(c.Note, note.VerifierList(k.verifier))
		must(w, err)
		c.Note, err = note.Sign(n, w.witness)
		must(w, err)
		must(w, l.PutWitnessed(w.Context(), c))
		must(w, l.Publish(w.Context(), c))
		if kind == transparency.Verdicts {
			verdicts = c
		}
	}
	return verdicts
}

func (w *world) checker(full bool) Checker {
	trust := func(kind transparency.Kind) Trust {
		k := w.keys[kind]
		own := transparency.Own(k.Name(), k.verifier)
		return Trust{Own: own, Witnessed: torchwood.ThresholdPolicy(2, own, torchwood.SingleVerifierPolicy(w.witness.verifier))}
	}
	return Checker{Store: w.store, Namespace: namespace, Verdicts: trust(transparency.Verdicts), Events: trust(transparency.Events), Full: full}
}

func (w *world) found(c Checker) (kinds []FindingKind, text string) {
	w.Helper()
	r, err := c.Check(w.Context())
	must(w, err)
	for _, f := range r.Findings {
		kinds = append(kinds, f.Kind)
		text += f.Text + "\n"
	}
	return kinds, text
}

func (w *world) key(part string) string { return namespace + "/" + part }

// rewrite changes an object; remove takes all away that have a prefix, and returns them.
func (w *world) rewrite(key, from, to string) {
	w.Helper()
	data, err := w.bucket.ReadAll(w.Context(), w.key(key))
	must(w, err)
	if !bytes.Contains(data, []byte(from)) {
		w.Fatalf("%s has no %q", key, from)
	}
	must(w, w.bucket.WriteAll(w.Context(), w.key(key), bytes.Replace(data, []byte(from), []byte(to), 1), nil))
}

func (w *world) remove(prefix string) map[string][]byte {
	w.Helper()
	all := map[string][]byte{}
	for objects := w.bucket.List(&blob.ListOptions{Prefix: w.key(prefix)}); ; {
		o, err := objects.Next(w.Context())
		if err == io.EOF {
			return all
		}
		must(w, err)
		all[o.Key], err = w.bucket.ReadAll(w.Context(), o.Key)
		must(w, err)
		must(w, w.bucket.Delete(w.Context(), o.Key))
	}
}

func (w *world) restore(all map[string][]byte) {
	for key, data := range all {
		must(w, w.bucket.WriteAll(context.WithoutCancel(w.Context()), key, data, nil))
	}
}

const verdictKey = "verdicts/%09d/%012d.json"

func TestForgeries(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		forge func(w *world)
		// full and cheap are what the two checks must find among others; none: nothing at all
		full, cheap FindingKind
	}{
		"nothing": {func(*world) {}, "", ""},
		"a verdict in the middle is changed": {func(w *world) {
			w.rewrite(fmt.Sprintf(verdictKey, 1, 1700), `"outcome":"verified"`, `"outcome":"verified" `)
		}, Changed, ""},
		"verdict, seal and history are forged": {func(w *world) {
			w.remove("seals/")
			w.remove("history/")
			w.remove(fmt.Sprintf(verdictKey, 1, 1700))
			w.judge(1700, 1700, "forged")
			w.seal()
		}, Changed, Changed},
		"a new verdict is changed": {func(w *world) {
			w.remove(fmt.Sprintf(verdictKey, 2, 2299))
			w.judge(2299, 2299, "forged")
		}, Changed, Changed},
		"verdicts are removed":     {func(w *world) { w.remove("verdicts/000000001/00000000170") }, Missing, ""},
		"new verdicts are removed": {func(w *world) { w.remove("verdicts/000000002/") }, Missing, Missing},
		"a tile of hashes is rewritten": {func(w *world) {
			w.restore(map[string][]byte{w.key("tlog/verdicts/tile/0/003"): bytes.Repeat([]byte{1}, 256*32)})
		}, WrongTile, ""},
		"a tile is cut": {func(w *world) {
			w.restore(map[string][]byte{w.key("tlog/verdicts/tile/1/000.p/5"): bytes.Repeat([]byte{1}, 32)})
		}, WrongTile, WrongTile},
		"a tile of entries is rewritten": {func(w *world) { w.rewrite("tlog/verdicts/tile/entries/003", "verified", "verifiec") }, WrongTile, ""},
		"a tile is removed":              {func(w *world) { w.remove("tlog/verdicts/tile/0/003") }, WrongTile, ""},
		"an event is changed":            {func(w *world) { w.rewrite("tlog/event/000000000/000000000000.json", "seal", "sea1") }, Changed, ""},
		"a seal is removed":              {func(w *world) { w.remove("seals/000000001") }, Missing, ""},
		"an older checkpoint is put back": {func(w *world) {
			w.remove("tlog/verdicts/checkpoints/" + auditstore.GenerationName(2))
		}, OlderState, OlderState},
		"all checkpoints but the mirror are removed": {func(w *world) {
			w.remove("tlog/verdicts/checkpoints/")
			w.remove("tlog/verdicts/witnessed/")
		}, Missing, Missing},
		"the witnesses' signatures are removed": {func(w *world) {
			for key := range w.remove("tlog/verdicts/witnessed/" + auditstore.GenerationName(2)) {
				w.restore(map[string][]byte{key: w.signed(2)})
			}
		}, Cosignatures, Cosignatures},
		"what was witnessed is removed": {func(w *world) { w.remove("tlog/verdicts/witnessed/") }, Cosignatures, Cosignatures},
		"the checkpoint is signed by somebody else": {func(w *world) {
			for key, data := range w.remove("tlog/verdicts/checkpoints/" + auditstore.GenerationName(2)) {
				text, _, _ := strings.Cut(string(data), "\n\n")
				forged, err := note.Sign(&note.Note{Text: text + "\n"}, newKey(w, w.keys[transparency.Verdicts].Name(), 2))
				must(w, err)
				w.restore(map[string][]byte{key: forged})
			}
		}, Signature, Signature},
		"the log begins elsewhere":        {func(w *world) { w.rewrite("tlog/start.json", `"first":1000`, `"first":1001`) }, WrongTile, Changed},
		"where the log begins is removed": {func(w *world) { w.remove("tlog/start.json") }, Missing, Missing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			test.forge(w)
			for full, want := range map[bool]FindingKind{true: test.full, false: test.cheap} {
				kinds, text := w.found(w.checker(full))
				if want == "" && full && len(kinds) > 0 || want != "" && !slices.Contains(kinds, want) {
					t.Errorf("full %v: found %q, want %q:\n%s", full, kinds, want, text)
				}
			}
		})
	}
}

// signed is a checkpoint without its witnesses.
func (w *world) signed(generation uint64) []byte {
	w.Helper()
	data, err := w.bucket.ReadAll(w.Context(), w.key("tlog/verdicts/checkpoints/"+auditstore.GenerationName(generation)))
	must(w, err)
	return data
}

// A store that the auditor, made to forget, has built anew is found by whoever kept a checkpoint.
func TestOlderCheckpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.checker(false)
	c.Verdicts.Older = [][]byte{w.older}
	if kinds, text := w.found(c); len(kinds) > 0 {
		t.Fatalf("an honest store: %s", text)
	}
	w.remove("tlog/")
	if _, err := w.checker(true).Check(t.Context()); !errors.Is(err, transparency.ErrNoCheckpoint) {
		t.Errorf("without a log: %v", err)
	}
	if kinds, text := w.found(c); !slices.Contains(kinds, Missing) {
		t.Errorf("the log is gone: %s", text)
	}
	w.remove(fmt.Sprintf(verdictKey, 1, 1050))
	w.judge(1050, 1050, "forged")
	_, err := transparency.Open(w.store, namespace, transparency.Verdicts).Begin(t.Context(), first)
	must(t, err)
	w.advance()
	if kinds, text := w.found(w.checker(true)); len(kinds) > 0 {
		t.Fatalf("the forged log is not consistent: %s", text)
	}
	if kinds, text := w.found(c); !slices.Contains(kinds, OtherHistory) {
		t.Errorf("another history: %s", text)
	}
	c.Verdicts.Older = [][]byte{[]byte("no checkpoint")}
	if _, err := c.Check(t.Context()); err == nil {
		t.Error("anything is taken for a checkpoint")
	}
	stranger := newKey(t, w.keys[transparency.Verdicts].Name(), 3)
	signed, err := note.Sign(&note.Note{Text: stranger.Name() + "\n1\n" + strings.Repeat("A", 43) + "=\n"}, stranger)
	must(t, err)
	c.Verdicts.Older = [][]byte{signed}
	if _, err := c.Check(t.Context()); !errors.Is(err, transparency.ErrNotOurs) {
		t.Errorf("a checkpoint signed by somebody else: %v", err)
	}
}

// Without witnesses the newest signed checkpoint counts, and events may be left out.
func TestWithoutWitnesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.remove("tlog/verdicts/witnessed/")
	w.remove("tlog/events/")
	c := w.checker(true)
	c.Verdicts.Witnessed, c.Events = nil, Trust{}
	var last int64
	c.Progress = func(done, total int64) { last = max(last, done) }
	if kinds, text := w.found(c); len(kinds) > 0 || last != size {
		t.Errorf("found %q, up to %d", text, last)
	}
}
