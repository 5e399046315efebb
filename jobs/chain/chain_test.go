package chain

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
)

func (w *world) keys(t testing.TB, prefix string) (keys []string) {
	t.Helper()
	for objects := w.audit.List(&blob.ListOptions{Prefix: namespace + "/" + prefix}); ; {
		o, err := objects.Next(t.Context())
		if err == io.EOF {
			return keys
		}
		must(t, err)
		keys = append(keys, strings.TrimPrefix(o.Key, namespace+"/"))
	}
}

func (w *world) incidents(t testing.TB) []string {
	t.Helper()
	names, err := w.config.Store.Outbox(namespace).Open(t.Context())
	must(t, err)
	for i, name := range names {
		names[i] = jobstest.WithoutHash(name)
	}
	return names
}

func TestHonestLog(t *testing.T) {
	t.Parallel()
	for _, last := range []uint64{0, 1, 9, 999, 1000, 2500, 10_234} {
		for _, parts := range []bool{true, false} {
			w := newWorld(t, last)
			if !parts {
				w.config.After = nil
			}
			r := w.walk(t)
			c := r.Chain.Coverage(0, 0)
			if last == 0 && c.To == 0 {
				continue
			}
			if !c.Whole() || c.From != 1 || c.To != last || len(c.Breaks) > 0 || r.Chain.Strays.Count > 0 || len(w.incidents(t)) > 0 {
				t.Errorf("%d epochs: %+v, %q", last, c, w.incidents(t))
			}
			if pieces := len(w.keys(t, "chain/")); uint64(pieces) != last/1000+1 {
				t.Errorf("%d epochs: %d pieces", last, pieces)
			}
			if limit := int(last/1000) + 14; r.Requests > limit {
				t.Errorf("%d epochs: %d requests, want up to %d", last, r.Requests, limit)
			}
			before := w.keys(t, "chain/")
			if again := w.walk(t); !slices.Equal(w.keys(t, "chain/"), before) || again.Chain.Generation != r.Chain.Generation+1 {
				t.Errorf("%d epochs: another walk wrote other pieces", last)
			}
		}
	}
}

func TestWalkFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	other := strings.Repeat("ab", 32)
	w := newWorld(t, 12_500)
	w.names.Missing = map[uint64]bool{2000: true, 2001: true, 11_999: true}
	w.names.Previous = map[uint64]string{3000: other, 7_777: other}
	w.names.Extra = []string{
		"5500/" + s3listtest.DigestOf(5499) + "/" + other, // a double
		"9000/notes", "zebra",
	}
	r := w.walk(t)
	c := r.Chain.Coverage(0, 0)
	want := verdict.ChainCoverage{
		From: 1, To: 12_500,
		Chained: ranges(1, 1999, 2002, 2999, 3000, 5499, 5501, 7776, 7777, 11_998, 12_000, 12_500),
		Gaps:    ranges(2000, 2001, 11_999, 11_999), Doubles: ranges(5500, 5500), Breaks: []uint64{3000, 7777},
	}
	if fmt.Sprint(c) != fmt.Sprint(want) {
		t.Errorf("%+v\nwant %+v", c, want)
	}
	if s := r.Chain.Strays; s.Count != 2 || !slices.Equal(s.Epochs, ranges(9000, 9000)) || !slices.Equal(s.Keys, []string{"9000/notes", "zebra"}) {
		t.Errorf("strays %+v", s)
	}
	wantIncidents := []string{"1-contradiction.000000003000.chain", "1-contradiction.000000007777.chain", "1-equivocation.000000005500"}
	if got := w.incidents(t); !slices.Equal(got, wantIncidents) {
		t.Errorf("alerts %q", got)
	}
	// Whoever reads the alert sees both batches.
	notices, err := w.config.Store.Outbox(namespace).Open(t.Context())
	must(t, err)
	told, err := w.audit.ReadAll(t.Context(), namespace+"/alerts/open/"+notices[2]+".json")
	must(t, err)
	if !strings.Contains(string(told), s3listtest.DigestOf(5500)) || !strings.Contains(string(told), other) {
		t.Errorf("the alert does not name both batches: %s", told)
	}
	if got := len(w.keys(t, "evidence/")); got != 3 {
		t.Errorf("%d pieces of evidence", got)
	}
	w.walk(t)
	if got := w.incidents(t); !slices.Equal(got, wantIncidents) || len(w.keys(t, "evidence/")) != 3 {
		t.Errorf("another walk raised %q", got)
	}
}

// What the akd crate reads as a batch of an epoch counts as one, wherever it stands in the listing.
func TestHostileLenientNamesAreDoubles(t *testing.T) {
	t.Parallel()
	other := strings.Repeat("ab", 32)
	type names struct{ epoch, previous, same string }
	w := newWorld(t, 12_000)
	var doubles []uint64
	for i, tc := range []struct {
		key    func(n names) string
		double bool
	}{
		{func(n names) string { return "+" + n.epoch + "/" + n.previous + "/" + other }, true},
		{func(n names) string { return "000" + n.epoch + "/" + n.previous + "/" + other }, true},
		{func(n names) string { return n.epoch + "/" + strings.ToUpper(n.previous+"/"+other) }, true},
		{func(n names) string { return n.epoch + "/" + n.previous + "/" + other + "/further/parts" }, true},
		{func(n names) string { return n.epoch + "/" + n.previous + "/" + other + ".zst" }, true},
		{func(n names) string { return "+" + n.epoch + "/" + n.previous + "/" + other + ".zst" }, true},
		{func(n names) string { return "+" + n.epoch + "/" + n.previous + "/" + n.same }, false}, // the same batch
		{func(n names) string { return n.epoch + "/" + n.previous + "/" + n.same + ".zst" }, false},
		{func(n names) string { return n.epoch + "/" + n.previous + "/" + n.same + "/x" }, false},
	} {
		epoch := uint64(1500 + 1001*i)
		w.names.Extra = append(w.names.Extra, tc.key(names{fmt.Sprint(epoch), s3listtest.DigestOf(epoch - 1), s3listtest.DigestOf(epoch)}))
		if tc.double {
			doubles = append(doubles, epoch, epoch)
		}
	}
	slices.Sort(w.names.Extra)
	r := w.walk(t)
	c := r.Chain.Coverage(0, 0)
	if !slices.Equal(c.Doubles, ranges(doubles...)) || len(c.Gaps)+len(c.Breaks) > 0 || r.Chain.Strays.Count != 0 {
		t.Errorf("%+v, strays %+v\nwant doubles %v", c, r.Chain.Strays, ranges(doubles...))
	}
}

// What was listed and is not, or otherwise, is evidence and an alert, once; a name that was late is
// neither.
func TestChangedNames(t *testing.T) {
	t.Parallel()
	other := strings.Repeat("ab", 32)
	for name, tc := range map[string]struct {
		change func(w *world)
		want   string
	}{
		"changed": {func(w *world) { w.names.Previous = map[uint64]string{1500: other} }, Changed},
		"came":    {func(w *world) { w.names.Extra = []string{"+1500/" + other + "/" + other} }, Came},
		"went":    {func(w *world) { w.names.Missing = map[uint64]bool{1500: true} }, Went},
		"late":    {func(w *world) { w.names.Missing = nil }, ""},
		"more":    {func(w *world) { w.names.Last = 3_000 }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2_200)
			w.names.Missing = map[uint64]bool{2000: true}
			w.walk(t)
			tc.change(w)
			if tc.want == Went {
				w.names.Missing[2000] = true
			}
			r := w.walk(t)
			changed := slices.DeleteFunc(w.incidents(t), func(name string) bool { return !strings.HasPrefix(name, "1-names_changed.") })
			if tc.want == "" {
				if len(r.Changes) > 0 || len(changed) > 0 {
					t.Errorf("%+v, %q", r.Changes, changed)
				}
				return
			}
			if len(r.Changes) != 1 || r.Changes[0].Epoch != 1500 || r.Changes[0].Change != tc.want || len(changed) != 1 {
				t.Fatalf("%+v, %q", r.Changes, changed)
			}
			if pieces := w.keys(t, "chain/000000001/"); len(pieces) != 2 {
				t.Errorf("%q: the older names must stay beside the new ones", pieces)
			}
			if r := w.walk(t); len(r.Changes) > 0 {
				t.Errorf("raised again: %+v", r.Changes)
			}
		})
	}
}

// A chain that is lost is made again from the log, and what had been changed before is not new.
func TestLostChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2_200)
	w.walk(t)
	w.names.Missing = map[uint64]bool{1500: true}
	w.walk(t)
	raised := w.incidents(t)
	for _, key := range w.keys(t, "chained/") {
		must(t, w.audit.Delete(t.Context(), namespace+"/"+key))
	}
	r := w.walk(t)
	if len(r.Changes) > 0 || !slices.Equal(w.incidents(t), raised) || r.Chain.Find(1).Generation != 2 {
		t.Errorf("%+v, alerts %q, were %q", r.Changes, w.incidents(t), raised)
	}
}

// Names that have gone back to what they once were have changed all the same, though the chain that
// knew of the change before is lost.
func TestLostChainAndNamesOfBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2_200)
	w.walk(t)
	w.names.Previous = map[uint64]string{1500: strings.Repeat("ab", 32)}
	w.walk(t)
	for _, key := range w.keys(t, "chained/") {
		must(t, w.audit.Delete(t.Context(), namespace+"/"+key))
	}
	w.names.Previous = nil
	if r := w.walk(t); len(r.Changes) != 1 || r.Changes[0].Epoch != 1500 || r.Chain.Find(1).Generation != 3 {
		t.Errorf("%+v, generation %d", r.Changes, r.Chain.Find(1).Generation)
	}
}

func TestExtend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 12_300)
	k := w.walker(t)
	r, err := k.Extend(t.Context(), 12_300) // nothing is on record: all of it
	must(t, err)
	walked := r.Chain.WalkedAt
	w.names.Last = 14_100
	before := w.names.Requests.Load()
	r, err = k.Extend(t.Context(), w.names.Last)
	must(t, err)
	if n := w.names.Requests.Load() - before; n > 8 {
		t.Errorf("%d requests", n)
	}
	if c := r.Chain.Coverage(0, 0); !c.Whole() || c.To != 14_100 || !r.Chain.WalkedAt.Equal(walked) {
		t.Errorf("%+v, walked %v, was %v", c, r.Chain.WalkedAt, walked)
	}
	if r.Chain.Find(13).Generation != 1 || r.Chain.Find(14).Generation != 0 {
		t.Errorf("%+v", r.Chain.Shards[12:])
	}
	generation := r.Chain.Generation
	w.names.Last = 14_200
	r, err = k.Extend(t.Context(), w.names.Last)
	must(t, err)
	if c := r.Chain.Coverage(0, 0); c.To != 14_200 || r.Chain.Generation != generation {
		t.Errorf("%+v, generation %d: a few epochs are no new version", c, r.Chain.Generation)
	}
}
