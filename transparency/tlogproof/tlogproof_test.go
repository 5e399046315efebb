package tlogproof

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/mod/sumdb/note"
)

const origin = "auditor.example.org/example"

var at = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

// anEntry is the verdict on an epoch as it is stored.
func anEntry(t testing.TB, namespace string, epoch uint64) []byte {
	t.Helper()
	digest := func(e uint64) string { return fmt.Sprintf("%064x", e) }
	v := verdict.Verdict{
		Schema: 1, Namespace: namespace, Epoch: epoch, PreviousDigest: digest(epoch - 1), Digest: digest(epoch), Outcome: verdict.Verified,
		Batch: verdict.Batch{Key: fmt.Sprint(epoch), SHA256: digest(7)}, StartedAt: at, FinishedAt: at,
	}
	data, err := v.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// aLog has epochs 100 to 109 of which 105 was never published.
func aLog(t testing.TB) (*tlogtest.Log, [][]byte) {
	t.Helper()
	l := tlogtest.New(origin)
	var entries [][]byte
	for epoch := range uint64(10) {
		entry := anEntry(t, "example", 100+epoch)
		if epoch == 5 {
			var err error
			if entry, err = (verdict.Absence{Schema: 1, Namespace: "example", Epoch: 105, Outcome: verdict.NotPublished, By: "not_published_after", Reason: "7d", At: at}).Encode(); err != nil {
				t.Fatal(err)
			}
		}
		entries = append(entries, entry)
	}
	return l.Append(entries...), entries
}

func keysOf(t testing.TB, l *tlogtest.Log, require int, witnesses ...string) Keys {
	t.Helper()
	k, err := Auditor(l.Verifier(), "")
	if err != nil {
		t.Fatal(err)
	}
	vkeys := make([]string, len(witnesses))
	for i, w := range witnesses {
		vkeys[i] = tlogtest.Witness(w)
	}
	if k, err = k.Require(require, vkeys); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestEveryEntryIsProven(t *testing.T) {
	t.Parallel()
	l, entries := aLog(t)
	for size := int64(1); size <= l.Size(); size++ {
		checkpoint := tlogtest.Cosign(l.Checkpoint(size), "w1.example", "stranger.example")
		for index := range size {
			file := Format(entries[index], index, l.Inclusion(size, index), checkpoint)
			r, err := Check(file, keysOf(t, l, 1, "w1.example", "w2.example"))
			if err != nil {
				t.Fatalf("entry %d of %d: %v", index, size, err)
			}
			if r.Origin != origin || r.Namespace != "example" || r.Epoch != 100+uint64(index) || r.Index != index || r.First != 100 ||
				r.Size != size || r.Root != l.Tree(size).Hash || !bytes.Equal(r.Entry, entries[index]) {
				t.Errorf("entry %d of %d: %+v", index, size, r)
			}
			if (r.Absence != nil) != (index == 5) || (r.Verdict != nil) == (index == 5) {
				t.Errorf("entry %d: verdict %v, absence %v", index, r.Verdict, r.Absence)
			}
			if len(r.Cosigned) != 1 || r.Cosigned[0].Name != "w1.example" || r.Others != 1 || !r.Met() || r.Known != 2 {
				t.Errorf("cosigned %+v, %d others", r.Cosigned, r.Others)
			}
		}
	}
}

// TestEveryChangedByteIsFound flips bits of every byte of a proof.
func TestEveryChangedByteIsFound(t *testing.T) {
	t.Parallel()
	l, entries := aLog(t)
	keys := keysOf(t, l, 1, "w1.example")
	file := Format(entries[3], 3, l.Inclusion(10, 3), tlogtest.Cosign(l.Checkpoint(10), "w1.example"))
	for i := range file {
		for _, bit := range []byte{0x01, 0x02, 0x20} {
			changed := bytes.Clone(file)
			changed[i] ^= bit
			// A cosignature whose name or key was changed is a stranger's, and lacks then.
			if r, err := Check(changed, keys); err == nil && r.Met() {
				t.Errorf("byte %d, %q to %q: passes, cosigned by %v", i, file[i], changed[i], r.Cosigned)
			}
		}
		if r, err := Check(file[:i], keys); err == nil && r.Met() {
			t.Errorf("cut off after %d bytes", i)
		}
	}
}

func TestWhatIsNoProof(t *testing.T) {
	t.Parallel()
	l, entries := aLog(t)
	other := tlogtest.New("auditor.example.org/other").Append(entries...)
	impostor := tlogtest.New(origin)
	impostor.Key = tlogtest.Key("impostor")
	impostor.Append(entries...)
	misplaced := tlogtest.New(origin).Append(entries[0], anEntry(t, "example", 0))
	strange := tlogtest.New(origin).Append([]byte("{}\n"), []byte(`{"schema":2}`), anEntry(t, "else", 3))
	good := string(Format(entries[3], 3, l.Inclusion(10, 3), l.Checkpoint(10)))
	huge := l.Sign(strings.Replace(l.Body(10), "\n10\n", "\n9223372036854775807\n", 1))
	hash := strings.Split(good, "\n")[3]
	for _, c := range []struct {
		name string
		file []byte
		want error
	}{
		{"nothing", nil, ErrMalformed},
		{"another's checkpoint", Format(entries[3], 3, other.Inclusion(10, 3), other.Checkpoint(10)), ErrSignature},
		{"another's key", Format(entries[3], 3, impostor.Inclusion(10, 3), impostor.Checkpoint(10)), ErrSignature},
		{"another origin under the key", Format(entries[3], 3, l.Inclusion(10, 3), l.Sign(other.Body(10))), ErrSignature},
		{"another entry", Format(entries[4], 3, l.Inclusion(10, 3), l.Checkpoint(10)), ErrNotIncluded},
		{"another place", Format(entries[3], 4, l.Inclusion(10, 3), l.Checkpoint(10)), ErrNotIncluded},
		{"a place outside", Format(entries[3], 10, l.Inclusion(10, 3), l.Checkpoint(10)), ErrNotIncluded},
		{"another tree", Format(entries[3], 3, l.Inclusion(10, 3), l.Checkpoint(9)), ErrNotIncluded},
		{"a hash too many", []byte(strings.Replace(good, hash, hash+"\n"+hash, 1)), ErrNotIncluded},
		{"too many hashes", []byte(strings.Replace(good, hash, strings.Repeat(hash+"\n", 64)+hash, 1)), ErrMalformed},
		{"more entries than tlog returns from", Format(entries[3], 3, l.Inclusion(10, 3), huge), ErrMalformed},
		{"no verdict", Format([]byte("{}\n"), 0, strange.Inclusion(3, 0), strange.Checkpoint(3)), ErrMalformed},
		{"a later verdict", Format([]byte(`{"schema":2}`), 1, strange.Inclusion(3, 1), strange.Checkpoint(3)), verdict.ErrNewerSchema},
		{"a verdict of another namespace", Format(anEntry(t, "else", 3), 2, strange.Inclusion(3, 2), strange.Checkpoint(3)), ErrMalformed},
		{"an epoch before the place", Format(anEntry(t, "example", 0), 1, misplaced.Inclusion(2, 1), misplaced.Checkpoint(2)), ErrMalformed},
		{"a number written otherwise", []byte(strings.Replace(good, "index 3", "index +3", 1)), ErrMalformed},
		{"a number below zero", []byte(strings.Replace(good, "index 3", "index -3", 1)), ErrMalformed},
		{"carriage returns", []byte(strings.ReplaceAll(good, "\n", "\r\n")), ErrMalformed},
		{"something before it", []byte("\n" + good), ErrMalformed},
		{"no entry", []byte(strings.Replace(good, "extra ", "extra", 1)), ErrMalformed},
		{"too long", []byte(good + strings.Repeat("x", MaxBytes)), ErrMalformed},
	} {
		if r, err := Check(c.file, keysOf(t, l, 0)); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v; want %v", c.name, r, err, c.want)
		}
	}
	if _, err := Check([]byte(good), keysOf(t, l, 0)); err != nil {
		t.Error(err)
	}
}

// TestTooFewWitnesses: a proof that lacks cosignatures is one all the same, and says so.
func TestTooFewWitnesses(t *testing.T) {
	t.Parallel()
	l, entries := aLog(t)
	file := Format(entries[3], 3, l.Inclusion(10, 3), tlogtest.Cosign(l.Checkpoint(10), "w1.example", "w1.example"))
	r, err := Check(file, keysOf(t, l, 2, "w1.example", "w2.example"))
	if err != nil || r.Met() || len(r.Cosigned) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	// A cosignature of another tree.
	wrong := tlogtest.Cosign(l.Checkpoint(9), "w1.example")
	line := wrong[bytes.LastIndex(wrong[:len(wrong)-1], []byte("\n"))+1:]
	file = Format(entries[3], 3, l.Inclusion(10, 3), append(l.Checkpoint(10), line...))
	if _, err := Check(file, keysOf(t, l, 0, "w1.example")); !errors.Is(err, ErrSignature) {
		t.Errorf("a cosignature of another tree: %v", err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	l := tlogtest.New(origin)
	public := fmt.Sprintf("%x", l.Key.Public())
	if k, err := Auditor(public, origin); err != nil || k.Origin() != origin {
		t.Errorf("%v", err)
	}
	for _, c := range []struct{ name, key, origin, want string }{
		{"digits without an origin", public, "", "origin must be given"},
		{"too few digits", public[:60], origin, "want ORIGIN+HASH+BASE64"},
		{"another's key", l.Verifier(), "auditor.example.org/else", "is that of " + origin},
		{"a witness's key", tlogtest.Witness("w1.example"), "", "want ORIGIN+HASH+BASE64"},
		{"an origin that cannot be one", public, "a b", "auditor's key"},
	} {
		if _, err := Auditor(c.key, c.origin); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	k := keysOf(t, l, 0)
	w1, w2 := tlogtest.Witness("w1.example"), tlogtest.Witness("w2.example")
	same, err := torchwood.NewCosignatureSigner("alias.example", tlogtest.Key("w1.example"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := torchwood.NewCosignatureSigner("w3.example", l.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		require   int
		witnesses []string
		want      string
	}{
		{"more than there are", 3, []string{w1, w2}, "3 cosignatures are required of 2"},
		{"less than none", -1, []string{w1, w2}, "-1 cosignatures"},
		{"one key under two names", 1, []string{w1, w2, same.Verifier().String()}, "would count twice"},
		{"the auditor's own key", 1, []string{own.Verifier().String()}, "that of the auditor"},
		{"a log's key", 1, []string{l.Verifier()}, "cosignatures"},
		{"too many", 1, make([]string, MaxWitnesses+1), "the limit is"},
	} {
		if _, err := k.Require(c.require, c.witnesses); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestProofsAreReadStrictly(t *testing.T) {
	t.Parallel()
	l, entries := aLog(t)
	good := Format(entries[3], 3, l.Inclusion(10, 3), l.Checkpoint(10))
	extra := base64.StdEncoding.EncodeToString(entries[3])
	if !strings.HasSuffix(extra, "=") {
		t.Fatal("the test's entry has no spare bits in base64: make it a byte longer")
	}
	at := bytes.IndexByte(good, '=') - 1
	loose := bytes.Clone(good)
	loose[at]++ // the same bytes, if spare bits are passed over
	if _, err := Check(loose, keysOf(t, l, 0)); !errors.Is(err, ErrMalformed) {
		t.Errorf("spare bits: %v", err)
	}
}

func FuzzCheck(f *testing.F) {
	l, entries := aLog(f)
	keys := keysOf(f, l, 1, "w1.example")
	f.Add(Format(entries[3], 3, l.Inclusion(10, 3), tlogtest.Cosign(l.Checkpoint(10), "w1.example")))
	f.Add(Format(entries[5], 5, l.Inclusion(10, 5), l.Checkpoint(10)))
	f.Add(Format(entries[0], 0, nil, l.Checkpoint(1)))
	f.Add([]byte(header + "\nextra \nindex 0\n\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := Check(file, keys)
		if err != nil {
			return
		}
		// Whatever passes is what the log has.
		if r.Index >= int64(len(entries)) || !bytes.Equal(r.Entry, entries[r.Index]) || r.First != 100 || (r.Verdict == nil) == (r.Absence == nil) {
			t.Errorf("%+v", r)
		}
	})
}

// A witness decides which time it writes. One that is no date must not keep a result from being
// written as JSON, and counts for nothing.
func TestCosignedAsOfNoDate(t *testing.T) {
	t.Parallel()
	l, entries := aLog(t)
	c, err := NewCosigner("w1.example", tlogtest.Key("w1.example"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: l.Body(3)}, c.At(time.Unix(1<<40, 0)))
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := bytes.Cut(signed, []byte("\n\n"))
	r, err := Check(Format(entries[1], 1, l.Inclusion(3, 1), append(l.Checkpoint(3), line...)), keysOf(t, l, 1, "w1.example"))
	if err != nil || r.Met() {
		t.Errorf("%v, cosigned by %v", err, r.Cosigned)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

// The root of a checkpoint has bits to spare in base64. With others than zeros it would be another
// text on the same tree.
func TestCheckpointsAreReadStrictly(t *testing.T) {
	t.Parallel()
	strict := "log.example\n3\n" + strings.Repeat("A", 43) + "=\n"
	loose := "log.example\n3\n" + strings.Repeat("A", 42) + "B=\n"
	if _, err := ParseCheckpoint(strict); err != nil {
		t.Error(err)
	}
	if _, err := ParseCheckpoint(loose); err == nil {
		t.Errorf("%q is read", loose)
	}
}
