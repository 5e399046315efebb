package chain

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

// page writes a listing of some keys, after which there is always more if it has a token.
func page(w io.Writer, prefix, token string, keys ...string) {
	fmt.Fprintf(w, `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Prefix>%s</Prefix><KeyCount>%d</KeyCount><IsTruncated>%t</IsTruncated>`,
		prefix, len(keys), token != "")
	if token != "" {
		fmt.Fprintf(w, `<NextContinuationToken>%s</NextContinuationToken>`, token)
	}
	for _, key := range keys {
		io.WriteString(w, `<Contents><Key>`)
		_ = xml.EscapeText(w, []byte(key))
		io.WriteString(w, `</Key><LastModified>2026-03-04T05:06:07.000Z</LastModified><Size>1</Size></Contents>`)
	}
	io.WriteString(w, `</ListBucketResult>`)
}

// A listing that has no end, or goes back, costs a bounded number of requests, is an error that
// says so, and leaves no chain on record.
func TestHostileListings(t *testing.T) {
	t.Parallel()
	key := func(epoch uint64) string { return (&s3listtest.Names{}).KeyOf(epoch) }
	for name, tc := range map[string]struct {
		answer func(n int, w io.Writer)
		want   string
	}{
		"endless junk": {func(n int, w io.Writer) {
			var keys []string
			for i := range 100 {
				keys = append(keys, fmt.Sprintf("junk-%09d-%04d", n, i))
			}
			page(w, "", fmt.Sprint("t", n), keys...)
		}, "no end of the listing after 50 requests"},
		"a key a page":        {func(n int, w io.Writer) { page(w, "", fmt.Sprint("t", n), fmt.Sprintf("%09d", n)) }, "no end of the listing"},
		"endless empty pages": {func(n int, w io.Writer) { page(w, "", fmt.Sprint("t", n)) }, "empty pages, and no end"},
		"the same page":       {func(n int, w io.Writer) { page(w, "", fmt.Sprint("t", n), key(1), key(2)) }, "though the one before was"},
		"the same token":      {func(_ int, w io.Writer) { page(w, "", "t") }, "the page after this one is this one"},
		"backwards":           {func(n int, w io.Writer) { page(w, "", fmt.Sprint("t", n), key(uint64(9-min(n, 8)))) }, "though the one before was"},
		"twice the same key":  {func(_ int, w io.Writer) { page(w, "", "", key(1), key(1)) }, "though the one before was"},
		"a plus before each": {func(n int, w io.Writer) {
			var keys []string
			for i := range 900 {
				keys = append(keys, "+"+key(uint64(1_000_000+900*n+i)))
			}
			page(w, "", fmt.Sprint("t", n), keys...)
		}, "cannot be sorted in bounded memory"},
		"a gap in each shard": {func(n int, w io.Writer) {
			var keys []string
			for i := range 900 {
				keys = append(keys, key(uint64(100_000_000_000+1000*(900*n+i))))
			}
			page(w, "", fmt.Sprint("t", n), keys...)
		}, "more than is kept in memory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 0)
			w.config.MaxRequests, w.config.After = 50, nil
			var mu sync.Mutex
			requests := 0
			w.handler = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				mu.Lock()
				requests++
				n := requests
				mu.Unlock()
				tc.answer(n, rw)
			})
			k := w.walker(t)
			k.bounds.lenient, k.bounds.pending = k.bounds.lenient/10, k.bounds.pending/10
			r, err := k.Walk(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%+v, %v, want an error with %q", r.Chain, err, tc.want)
			}
			if requests > 60 || len(w.keys(t, "")) > 0 {
				t.Errorf("%d requests, and on record are %q", requests, w.keys(t, ""))
			}
		})
	}
}

// A store without an order of its own is noticed, too.
func TestHostileOrder(t *testing.T) {
	t.Parallel()
	l := lister{bucket: memblob.OpenBucket(nil), size: 2, max: 10}
	defer l.bucket.Close()
	for _, key := range []string{"a", "b", "c"} {
		must(t, l.bucket.WriteAll(t.Context(), key, nil, nil))
	}
	err := l.each(t.Context(), "", blob.FirstPageToken, func([]*blob.ListObject, []byte) (bool, error) { return true, nil })
	must(t, err)
	last := "bb"
	if err := inOrder([]*blob.ListObject{{Key: "bc"}, {Key: "bb"}}, &last); err == nil {
		t.Error("a page out of order was taken")
	}
}

// Names far from all others are reported and neither followed nor recorded.
func TestHostileFarNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3_500)
	for distance := uint64(1 << 15); distance < 1<<39; distance <<= 1 {
		w.names.Extra = append(w.names.Extra, w.names.KeyOf(3_500+distance))
	}
	slices.Sort(w.names.Extra)
	r := w.walk(t)
	c := r.Chain.Coverage(0, 0)
	if !c.Whole() || c.To != 3_500 || len(w.keys(t, "chain/")) != 4 {
		t.Errorf("%+v with %d pieces", c, len(w.keys(t, "chain/")))
	}
	if f := r.Chain.Far; f.Count != 24 || f.From != 3_500+1<<15 || f.To != 3_500+1<<38 {
		t.Errorf("far %+v", f)
	}
}

// Keys that could do harm where they are shown are made safe, and few are kept.
func TestHostileStrays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 100)
	for i := range 5_000 {
		w.names.Extra = append(w.names.Extra, fmt.Sprintf("%d/\x1b[2J\u202e%s%d", i%70+1, strings.Repeat("x", 300), i))
	}
	slices.Sort(w.names.Extra)
	r := w.walk(t)
	s := r.Chain.Strays
	if s.Count != 5_000 || len(s.Keys) != maxStrayKeys || len(s.Epochs) > maxStrayRanges || s.Epochs[0].From != 1 {
		t.Errorf("%d strays, %d keys, epochs %v", s.Count, len(s.Keys), s.Epochs)
	}
	for _, key := range s.Keys {
		if len(key) > maxShown || strings.ContainsAny(key, "\x1b\u202e") {
			t.Errorf("%q", key)
		}
	}
	if c := r.Chain.Coverage(0, 0); !c.Whole() {
		t.Errorf("%+v", c)
	}
}

// A listing that was kept from before, or a directory that lists nothing for once, takes no name
// off the record.
func TestHostileAbsence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 12_000)
	w.walk(t)
	chain := w.keys(t, "chain")
	honest := &s3listtest.Names{First: 1, Last: 12_000}
	w.names.Missing = map[uint64]bool{1500: true, 1501: true}
	w.handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Query().Get("prefix"), "/") {
			honest.ServeHTTP(rw, r) // a look at one epoch shows it
			return
		}
		w.names.ServeHTTP(rw, r)
	})
	r := w.walk(t)
	if len(r.Changes) > 0 || r.Unconfirmed != 1 || len(w.incidents(t)) > 0 {
		t.Errorf("%+v, %d unconfirmed, alerts %q", r.Changes, r.Unconfirmed, w.incidents(t))
	}
	if c := r.Chain.Coverage(0, 0); !c.Whole() {
		t.Errorf("the record must stay as it is: %+v", c)
	}
	w.handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { page(rw, r.URL.Query().Get("prefix"), "") })
	if _, err := w.walker(t).Walk(t.Context()); err == nil || !strings.Contains(err.Error(), "lists no epoch at all") {
		t.Errorf("%v", err)
	}
	if got := w.keys(t, "chain/"); !slices.Equal(got, slices.DeleteFunc(chain, func(key string) bool { return !strings.HasPrefix(key, "chain/") })) {
		t.Errorf("on record are %q", got)
	}
}

// An empty answer that a cache has kept says nothing.
func TestHostileCachedAbsence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2_200)
	w.walk(t)
	w.names.Missing = map[uint64]bool{1500: true}
	w.handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("X-Cache", "Hit from cloudfront")
		rw.Header().Set("Age", "180")
		w.names.ServeHTTP(rw, r)
	})
	if r := w.walk(t); len(r.Changes) > 0 || r.Unconfirmed != 1 || len(w.incidents(t)) > 0 {
		t.Errorf("%+v, alerts %q", r.Changes, w.incidents(t))
	}
	w.handler = nil
	if r := w.walk(t); len(r.Changes) != 1 || r.Changes[0].Change != Went {
		t.Errorf("%+v", r.Changes)
	}
}

// Who hides one name to keep a changed one from being told of does not succeed.
func TestHostileMask(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2_200)
	w.walk(t)
	honest := &s3listtest.Names{First: 1, Last: 2_200}
	w.names.Missing = map[uint64]bool{1700: true}
	w.names.Previous = map[uint64]string{1500: strings.Repeat("ab", 32)}
	w.handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Query().Get("prefix"), "/") {
			honest.ServeHTTP(rw, r)
			return
		}
		w.names.ServeHTTP(rw, r)
	})
	for range 2 {
		w.walk(t)
		if got := w.incidents(t); len(got) != 1 || !strings.HasPrefix(got[0], "1-names_changed.000000001500-") {
			t.Fatalf("alerts %q", got)
		}
	}
}

// Two walks at a time write the same, and both end.
func TestTwoWalks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 23_456)
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			r, err := w.walker(t).Walk(t.Context())
			if c := r.Chain.Coverage(0, 0); err != nil || !c.Whole() || c.To != 23_456 {
				t.Errorf("%+v, %v", c, err)
			}
		})
	}
	group.Wait()
	if n := len(w.keys(t, "chain/")); n != 24 {
		t.Errorf("%d pieces", n)
	}
}

// A walk that ends in the middle leaves whole pieces, and the next one goes through.
func TestWalkAfterACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 23_456)
	requests := 0
	var mu sync.Mutex
	w.handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		requests++
		broken := requests > 15
		mu.Unlock()
		if broken {
			http.Error(rw, "no", http.StatusForbidden)
			return
		}
		w.names.ServeHTTP(rw, r)
	})
	if _, err := w.walker(t).Walk(t.Context()); err == nil {
		t.Fatal("no error")
	}
	if n := len(w.keys(t, "chain/")); n == 0 || n > 22 || len(w.keys(t, "chained/")) > 0 {
		t.Errorf("%d pieces, chains %q", n, w.keys(t, "chained/"))
	}
	w.handler = nil
	r := w.walk(t)
	if c := r.Chain.Coverage(0, 0); !c.Whole() || c.To != 23_456 || len(w.incidents(t)) > 0 {
		t.Errorf("%+v", c)
	}
}

// A log with as many doubles on record as one walk tells of cannot hide further ones behind them,
// and what one walk leaves out the next one tells.
func TestHostileManyDoubles(t *testing.T) {
	t.Parallel()
	double := func(epoch uint64) string {
		return fmt.Sprintf("%d/%s/%s", epoch, s3listtest.DigestOf(epoch-1), strings.Repeat("ab", 32))
	}
	told := func(w *world, epoch uint64) bool {
		return slices.Contains(w.incidents(t), fmt.Sprintf("1-equivocation.%012d", epoch))
	}
	w := newWorld(t, 2_500)
	for epoch := uint64(1000); epoch < 1000+maxAccusations; epoch++ {
		w.names.Extra = append(w.names.Extra, double(epoch))
	}
	w.walk(t)
	if !told(w, 1000) || !told(w, 1000+maxAccusations-1) {
		t.Fatal("the first walk does not tell of the doubles")
	}
	w.names.Last = 3_500
	w.names.Extra = append(w.names.Extra, double(3_100))
	w.walk(t)
	if !told(w, 3_100) {
		t.Error("a new double is not told of beside old ones")
	}
}

// A shard whose names were recorded as often as there is room for is walked on.
func TestHostileManyGenerations(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2_200)
	w.names.Missing = map[uint64]bool{1_500: true, 1_501: true}
	w.walk(t)
	on, _, err := w.config.Store.ChainPiece(t.Context(), namespace, 1, 1)
	must(t, err)
	was := on.Runs[0].Digests[0]
	for generation := uint64(2); generation <= auditstore.MaxChainGenerations; generation++ {
		on.Runs[0].Digests[0] = was + byte(auditstore.MaxChainGenerations-generation) // any names
		_, err := w.config.Store.PutChainPiece(t.Context(), on, generation)
		must(t, err)
	}
	delete(w.names.Missing, 1_500) // it comes late
	w.names.Last = 3_500
	if c := w.walk(t).Chain.Coverage(0, 0); c.To != 3_500 {
		t.Errorf("the walk found %+v", c)
	}
}

// Names that come and go from one answer to the next cannot keep a walk from telling of others.
func TestHostileUnsureNamesHideNoOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 13_500)
	w.walk(t)
	unsure := map[uint64]bool{}
	for shard := uint64(0); shard < maxAccused+1; shard++ {
		unsure[shard*1000+500] = true
	}
	w.names.Missing = map[uint64]bool{12_500: true} // is gone for good
	hiding := &s3listtest.Names{First: 1, Last: 13_500, Missing: map[uint64]bool{12_500: true}}
	for epoch := range unsure {
		hiding.Missing[epoch] = true
	}
	w.handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if epoch, err := strconv.ParseUint(strings.Trim(r.URL.Query().Get("prefix"), "+/"), 10, 64); err == nil && unsure[epoch] {
			w.names.ServeHTTP(rw, r) // whoever asks for it finds it
			return
		}
		hiding.ServeHTTP(rw, r)
	})
	w.walk(t)
	if got := w.incidents(t); len(got) != 1 || !strings.HasPrefix(got[0], "1-names_changed.000000012500") {
		t.Errorf("alerts are %q", got)
	}
}

// A batch that is gone is one thing, whoever finds it: a look at the epoch has told of it before the
// walk comes by.
func TestWithdrawnBatchIsToldOnce(t *testing.T) {
	t.Parallel()
	for _, told := range []bool{false, true} {
		w := newWorld(t, 2500)
		w.walk(t)
		w.names.Missing = map[uint64]bool{1500: true, 1502: true}
		to := uint64(1502)
		if !told {
			to = 1501 // and one more is gone
		}
		r := incident.Recorder{Store: w.config.Store, Log: zerolog.Nop()}
		must(t, r.Raise(t.Context(), alert.OfWithdrawn(namespace, 1500, to, time.Now())))
		w.walk(t)
		got := strings.Join(w.incidents(t), " ")
		if strings.Contains(got, "names_changed") == told || len(w.keys(t, "evidence/")) != 1 {
			t.Errorf("told of %d: incidents are %s, evidence %q", to, got, w.keys(t, "evidence/"))
		}
	}
}
