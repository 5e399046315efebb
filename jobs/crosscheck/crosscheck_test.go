package crosscheck

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
)

// What one statement of another auditor's comes to, after two rounds and a restart with two more:
// each fact once, and what accuses somebody with evidence.
func TestStatements(t *testing.T) {
	t.Parallel()
	other := [32]byte{7}
	for _, c := range []struct {
		name     string
		verdict  func(*verdict.Verdict)
		say      func(t *testing.T, w *world)
		open     []string
		evidence []string
		result   string
		recorded bool
	}{
		{"the same", nil, func(t *testing.T, w *world) { w.remote.sign(t, 5, digestOf(5)) }, nil, nil, same, true},
		{"another digest", nil, func(t *testing.T, w *world) { w.remote.sign(t, 5, other) },
			[]string{"split_view/000000000005"}, []string{"signed-digest", "split-view"}, splitView, true},
		{"another digest than was signed here", nil, func(t *testing.T, w *world) {
			w.remote.sign(t, 5, digestOf(5))
			w.signHere(t, 5, other)
		}, []string{"split_view/000000000005"}, []string{"signed-digest", "signed-digest", "split-view"}, splitView, true},
		{"another digest than the log published and than was signed here", nil, func(t *testing.T, w *world) {
			w.remote.sign(t, 5, other)
			w.signHere(t, 5, [32]byte{8})
		}, []string{"split_view/000000000005", "split_view/000000000005"},
			[]string{"signed-digest", "signed-digest", "split-view", "split-view"}, splitView, true},
		{"an epoch that was rejected", reject, func(t *testing.T, w *world) { w.remote.sign(t, 5, digestOf(5)) },
			[]string{"auditor_signed_rejected/000000000005"}, []string{"auditor-signed-rejected", "signed-digest"}, rejected, true},
		{"an epoch that was rejected, and another digest", reject, func(t *testing.T, w *world) { w.remote.sign(t, 5, other) },
			[]string{"split_view/000000000005"}, []string{"signed-digest", "split-view"}, splitView, true},
		{"an epoch over the limits here", func(v *verdict.Verdict) { v.Outcome, v.Reason = verdict.Rejected, verdict.BatchTooLarge },
			func(t *testing.T, w *world) { w.remote.sign(t, 5, digestOf(5)) }, nil, nil, same, true},
		{"a name that could not be read", func(v *verdict.Verdict) { reject(v); v.Digest, v.PreviousDigest = "", "" },
			func(t *testing.T, w *world) { w.remote.sign(t, 5, other) }, nil, nil, same, true},

		{"nothing", nil, func(*testing.T, *world) {}, nil, nil, absent, false},
		{"an unknown key, and another digest", nil, func(t *testing.T, w *world) { w.remote.signWith(t, 3, there, 5, 5, other) },
			[]string{"auditor_key_unknown/000000000005"}, nil, unknownKey, false},
		{"another epoch", nil, func(t *testing.T, w *world) { w.remote.signWith(t, 1, there, 5, 6, other) }, nil, nil, failed, false},
		{"another log", nil, func(t *testing.T, w *world) { w.remote.signWith(t, 1, "another.log", 5, 5, other) }, nil, nil, failed, false},
		{"a spoilt signature", nil, func(t *testing.T, w *world) {
			w.remote.sign(t, 5, other)
			w.remote.set(func() {
				w.remote.signed[5] = []byte(strings.Replace(string(w.remote.signed[5]), `"signature":"`, `"signature":"0`, 1)[:len(w.remote.signed[5])])
			})
		}, nil, nil, failed, false},
		{"a page", nil, func(_ *testing.T, w *world) {
			w.remote.set(func() { w.remote.signed[5] = []byte("<html>not this way</html>") })
		}, nil, nil, failed, false},
		{"an error", nil, func(_ *testing.T, w *world) {
			w.remote.set(func() {
				w.remote.answer = func(w http.ResponseWriter, _ *http.Request) bool {
					http.Error(w, "down", http.StatusBadGateway)
					return true
				}
			})
		}, nil, nil, failed, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.judge(t, 5, 5, c.verdict)
			c.say(t, w)
			for range 2 {
				l := New(w.config)
				for range 2 {
					_ = l.round(t.Context(), began)
				}
			}
			w.wantOpen(t, c.open...)
			if got := w.evidence(t, 5); !slices.Equal(got, c.evidence) {
				t.Errorf("evidence is %q, want %q", got, c.evidence)
			}
			if w.counts.all[c.result] == 0 {
				t.Errorf("it came to %v, want %s", w.counts.all, c.result)
			}
			if recorded := len(w.records(t)) > 0; recorded != c.recorded {
				t.Errorf("on record: %v", w.records(t))
			}
			list, err := incident.ReadList(t.Context(), w.Store, namespace)
			jobstest.Must(t, err)
			if wrong := strings.Contains(fmt.Sprint(c.open), "split_view"); list.Wrong(false) != wrong {
				t.Errorf("anything wrong: %v", !wrong)
			}
		})
	}
}

// All of history is compared, the newest first, within the bounds of a round; what is on record is
// not asked for again but by chance.
func TestHistoryIsWalked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.judge(t, 998, 1600, nil)
	w.remote.signAll(t, 1003, 1600)
	w.remote.sign(t, 1100, [32]byte{7})
	l := New(w.config)
	for i := range 8 {
		w.round(t, l, time.Duration(i)*minute)
		asked := w.remote.questions()
		if len(asked) > maxRequests {
			t.Fatalf("round %d asks %d times", i, len(asked))
		}
		if i == 0 && !slices.Contains(asked, "audits/1600") {
			t.Errorf("the first round asks for %q", asked)
		}
	}
	if got := w.records(t); len(got) != 598 || got[0] != 1003 {
		t.Errorf("%d are on record from %v on", len(got), got[:min(len(got), 3)])
	}
	w.wantOpen(t, "split_view/000000001100")
	w.remote.questions()
	w.round(t, l, 9*minute)
	// What is new, two by chance, and the last verified epoch.
	if asked := w.remote.questions(); len(asked) > 4 {
		t.Errorf("when all is on record, a round asks %q", asked)
	}
	w.judge(t, 1601, 1603, nil)
	w.remote.signAll(t, 1601, 1602)
	w.round(t, l, 10*minute)
	if got := w.records(t); len(got) != 600 || w.counts.newest != 1602 {
		t.Errorf("%d are on record, up to %d", len(got), w.counts.newest)
	}
}

// An auditor that is asked for what it does not have is not asked for all of it.
func TestAbsenceCostsLittle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.judge(t, 1, 3000, nil)
	w.remote.signAll(t, 2990, 2995)
	l := New(w.config)
	for i := range 5 {
		w.round(t, l, time.Duration(i)*minute)
	}
	if got := w.records(t); len(got) != 6 {
		t.Errorf("on record are %v", got)
	}
	if asked := w.remote.questions(); len(asked) > 100 {
		t.Errorf("it was asked %d times", len(asked))
	}
	w.wantOpen(t)
}

// An auditor of another log under the same name disagrees everywhere: people are told of some, and
// the rest waits for them.
func TestNoFloodOfSplitViews(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.judge(t, 1, 300, nil)
	for epoch := range uint64(300) {
		w.remote.sign(t, epoch+1, [32]byte{9, byte(epoch), byte(epoch >> 8)})
	}
	l := New(w.config)
	for i := range 4 {
		_ = l.round(t.Context(), began.Add(time.Duration(i)*minute))
	}
	open, compared := len(w.open(t)), len(w.records(t))
	if open > maxOpen+maxBeyond || open < maxOpen || compared != open {
		t.Errorf("%d are open, %d on record as compared", open, compared)
	}
	// Nor do they hide what others say.
	w.judge(t, 301, 301, nil)
	honest := newRemote(t)
	honest.sign(t, 301, [32]byte{7})
	w.config.Client = honest.client(t)
	_ = New(w.config).round(t.Context(), began)
	w.judge(t, 302, 302, nil)
	w.signHere(t, 302, [32]byte{8})
	_ = NewOurs(OursConfig{Namespace: namespace, Store: w.Store, Incidents: w.config.Incidents, Log: w.config.Log}).Round(t.Context())
	for _, epoch := range []uint64{301, 302} {
		if name := fmt.Sprintf("split_view/%012d", epoch); !slices.Contains(w.open(t), name) {
			t.Errorf("%s is not told of", name)
		}
	}
}

// An auditor that signs two digests for an epoch contradicts itself, whichever the log shows.
func TestAuditorContradictsItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.judge(t, 5, 5, nil)
	w.remote.sign(t, 5, digestOf(5))
	l := New(w.config)
	w.round(t, l, 0)
	w.remote.signWith(t, 2, there, 5, 5, digestOf(5)) // again, with its other key
	w.round(t, l, minute)
	w.wantOpen(t)
	w.remote.sign(t, 5, [32]byte{7})
	w.round(t, l, 2*minute)
	w.round(t, New(w.config), 3*minute)
	w.wantOpen(t, "auditor_contradiction/000000000005", "split_view/000000000005")
	if got := w.evidence(t, 5); !slices.Equal(got, []string{"auditor-contradiction", "signed-digest", "signed-digest", "split-view"}) {
		t.Errorf("evidence is %q", got)
	}
}

// To say the same things again in ever new signatures, and with much around them, fills no store.
func TestHostileAuditorFillsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.judge(t, 5, 6, nil)
	w.remote.sign(t, 5, [32]byte{5})
	w.remote.sign(t, 6, [32]byte{6})
	l := New(w.config)
	w.round(t, l, 0)
	said := 0
	w.remote.set(func() {
		w.remote.answer = func(rw http.ResponseWriter, r *http.Request) bool {
			epoch := uint64(5)
			if strings.HasSuffix(r.URL.Path, "/audits/6") {
				epoch = 6
			} else if !strings.HasSuffix(r.URL.Path, "/audits/5") {
				return false
			}
			said++
			s, _ := signature.Sign(keyOf(1), signature.CiphersuiteProtobuf, there, uint64(said), epoch, [32]byte{byte(epoch) + byte(said%2)})
			data, _ := json.Marshal(s)
			_, _ = fmt.Fprintf(rw, `{"more":%q,%s`, strings.Repeat("x", 30_000), data[1:])
			return true
		}
	})
	for i := range 20 {
		w.round(t, l, time.Duration(i+1)*minute)
	}
	size, objects := 0, 0
	for _, key := range jobstest.Keys(t, w.Bucket) {
		data, err := w.Bucket.ReadAll(t.Context(), key)
		jobstest.Must(t, err)
		size, objects = size+len(data), objects+1
	}
	if size > 64<<10 || objects > 50 {
		t.Errorf("%d bytes in %d objects, for %d answers", size, objects, said)
	}
	w.wantOpen(t, "auditor_contradiction/000000000005", "auditor_contradiction/000000000006",
		"split_view/000000000005", "split_view/000000000005", "split_view/000000000006", "split_view/000000000006")
}

// What it says that it verified must be what it signed, and no less than before.
func TestLastVerified(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		say  []uint64 // in which rounds it names which epoch; 0: none
		end  string
		want []string
	}{
		{"it goes on", []uint64{5, 6, 7, 8}, "", nil},
		{"it is ahead of us", []uint64{50, 60, 70}, "", nil},
		{"an old replica answers once", []uint64{7, 5, 8, 8}, "", nil},
		{"it goes back", []uint64{7, 5, 5, 6}, "", []string{"auditor_went_back/000000000007"}},
		{"it goes back and comes again", []uint64{7, 5, 5, 6, 7}, "", nil},
		{"another digest than it signed", []uint64{7}, fmt.Sprintf("%064x", 9999), []string{"auditor_contradiction/000000000007"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.judge(t, 1, 10, nil)
			w.remote.signAll(t, 1, 10)
			l := New(w.config)
			for i, epoch := range c.say {
				digest := c.end
				if digest == "" {
					digest = jobstest.GoodVerdict(epoch).Digest
				}
				w.remote.verify(epoch, digest)
				w.round(t, l, time.Duration(i)*minute)
			}
			w.wantOpen(t, c.want...)
		})
	}
}

// An auditor that cannot say what it verified is compared all the same.
func TestLastVerifiedFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.judge(t, 1, 10, nil)
	w.remote.signAll(t, 1, 10)
	w.remote.set(func() {
		w.remote.answer = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/last-verified-epoch") {
				return false
			}
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
	})
	_ = New(w.config).round(t.Context(), began)
	if n := len(w.records(t)); n != 10 {
		t.Errorf("%d are on record", n)
	}
}

// Conditions begin and end, and are told of once by all schedulers.
func TestConditions(t *testing.T) {
	t.Parallel()
	down := func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return true
	}
	for _, c := range []struct {
		name  string
		begin func(t *testing.T, w *world)
		soon  []string // that is open at once
		late  []string // after two hours
		end   func(t *testing.T, w *world)
	}{
		{"it lags", func(t *testing.T, w *world) { w.remote.signAll(t, 1, 5) }, nil, []string{"auditor_lag/000000000006"},
			func(t *testing.T, w *world) { w.remote.signAll(t, 6, 10) }},
		{"it answers for the newest with pages", func(t *testing.T, w *world) {
			w.remote.signAll(t, 1, 7)
			for epoch := uint64(8); epoch <= 10; epoch++ {
				w.remote.set(func() { w.remote.signed[epoch] = []byte("<html></html>") })
			}
		}, nil, []string{"auditor_silent"}, func(t *testing.T, w *world) { w.remote.signAll(t, 8, 10) }},
		{"it has signed nothing", func(*testing.T, *world) {}, nil, []string{"auditor_lag/000000000010"},
			func(t *testing.T, w *world) { w.remote.signAll(t, 1, 10) }},
		{"it lags by too many epochs", func(t *testing.T, w *world) {
			w.remote.signAll(t, 1, 5)
			w.config.MaxLag, w.config.MaxLagEpochs = 0, 4
		}, []string{"auditor_lag/000000000006"}, []string{"auditor_lag/000000000006"}, func(t *testing.T, w *world) { w.remote.signAll(t, 6, 10) }},
		{"it may lag", func(t *testing.T, w *world) {
			w.remote.signAll(t, 1, 5)
			w.config.MaxLag, w.config.MaxLagEpochs = 0, 5
		}, nil, nil, func(*testing.T, *world) {}},
		{"it is silent", func(_ *testing.T, w *world) { w.remote.set(func() { w.remote.answer = down }) }, nil, []string{"auditor_silent"},
			func(t *testing.T, w *world) {
				w.remote.set(func() { w.remote.answer = nil })
				w.remote.signAll(t, 1, 10)
			}},
		{"it does not know the log, and may lag for ever", func(_ *testing.T, w *world) { w.config.MaxLag = 0 }, nil, []string{"auditor_silent"},
			func(t *testing.T, w *world) { w.remote.signAll(t, 1, 10) }},
		{"it knows the log no more, and may lag for ever", func(t *testing.T, w *world) {
			w.config.MaxLag = 0
			w.remote.signAll(t, 1, 10)
			jobstest.Must(t, New(w.config).round(t.Context(), began))
			w.remote.set(func() { clear(w.remote.signed) })
		}, nil, []string{"auditor_silent"}, func(t *testing.T, w *world) { w.remote.signAll(t, 1, 10) }},
		{"it has a new key", func(t *testing.T, w *world) {
			w.remote.signAll(t, 1, 5)
			for epoch := uint64(6); epoch <= 10; epoch++ {
				w.remote.signWith(t, 3, there, epoch, epoch, digestOf(epoch))
			}
		}, []string{"auditor_key_unknown/000000000010"}, []string{"auditor_key_unknown/000000000010"},
			func(t *testing.T, w *world) { w.remote.signAll(t, 6, 10) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.judge(t, 1, 10, nil)
			c.begin(t, w)
			schedulers := []*Loop{New(w.config), New(w.config)}
			all := func(after time.Duration) {
				for _, l := range schedulers {
					_ = l.round(t.Context(), began.Add(after))
				}
			}
			short := func() (names []string) {
				for _, name := range w.open(t) {
					kind, _, _ := strings.Cut(name, "/2")
					names = append(names, kind)
				}
				return names
			}
			all(minute)
			if got := short(); !slices.Equal(got, c.soon) {
				t.Errorf("soon open are %q, want %q", got, c.soon)
			}
			all(2 * time.Hour)
			if got := short(); !slices.Equal(got, c.late) {
				t.Errorf("later open are %q, want %q", got, c.late)
			}
			c.end(t, w)
			all(2*time.Hour + minute)
			w.wantOpen(t)
		})
	}
}

// While an auditor fails it is asked less and less, and never before it asks to be.
func TestFailingAuditorIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.judge(t, 1, 50, nil)
	retry := ""
	w.remote.set(func() {
		w.remote.answer = func(w http.ResponseWriter, _ *http.Request) bool {
			if retry != "" {
				w.Header().Set("Retry-After", retry)
			}
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}
	})
	l := New(w.config)
	var pauses []time.Duration
	for range 4 {
		err := l.round(t.Context(), began)
		if err == nil {
			t.Fatal("no error")
		}
		pauses = append(pauses, l.pause(err))
	}
	if !slices.Equal(pauses, []time.Duration{2 * minute, 4 * minute, 8 * minute, 16 * minute}) {
		t.Errorf("pauses are %v", pauses)
	}
	if asked := w.remote.questions(); len(asked) != 4 {
		t.Errorf("in four rounds it was asked %q", asked)
	}
	w.remote.set(func() { retry = "3000" })
	if pause := l.pause(l.round(t.Context(), began)); pause != 50*minute {
		t.Errorf("asked to wait 50 minutes, it waits %s", pause)
	}
	w.remote.set(func() { w.remote.answer = nil })
	if pause := l.pause(l.round(t.Context(), began)); pause != minute {
		t.Errorf("after an answer it waits %s", pause)
	}
}

// Whichever request to the audit store fails, carried out or not: afterwards the same is on record
// as if none had, once.
func TestStoreFaults(t *testing.T) {
	t.Parallel()
	prepare := func() *world {
		w := newWorld(t)
		w.judge(t, 5, 7, nil)
		w.remote.signAll(t, 5, 7)
		w.remote.sign(t, 6, [32]byte{7})
		w.signHere(t, 5, [32]byte{8})
		return w
	}
	rounds := func(w *world, config Config) {
		ours := NewOurs(OursConfig{Namespace: namespace, Store: config.Store, Incidents: config.Incidents, Every: minute})
		_ = ours.Round(t.Context())
		_ = New(config).round(t.Context(), began)
	}
	clean := prepare()
	rounds(clean, clean.config)
	rounds(clean, clean.config)
	want := clean.objects(t)
	for _, carriedOut := range []bool{false, true} {
		for n := int64(1); ; n++ {
			w := prepare()
			watched, store := w.Watched(t, func(i int64, _ string) (error, bool) {
				if i == n {
					return jobstest.ErrFault, carriedOut
				}
				return nil, false
			})
			config := w.config
			config.Store, config.Incidents.Store = store.Store, store.Store
			rounds(w, config)
			rounds(w, w.config)
			if got := w.objects(t); !slices.Equal(got, want) {
				t.Fatalf("after a fault of request %d (carried out: %v) there are\n%q\nwant\n%q", n, carriedOut, got, want)
			}
			if watched.Requests.Load() < n {
				break
			}
		}
	}
}

// hash ends the names of evidence, which differ by the auditor's port and by times.
var hash = regexp.MustCompile(`-[0-9a-f]{16}\.json`)

// objects returns the keys of all that is in the audit store, without the auditor's port and times.
func (w *world) objects(t *testing.T) (keys []string) {
	t.Helper()
	id := ID(w.remote.URL)
	for _, key := range jobstest.Keys(t, w.Bucket) {
		if !strings.HasPrefix(key, ".ktaudit/") {
			keys = append(keys, hash.ReplaceAllString(strings.ReplaceAll(key, id, "AUDITOR"), "-HASH.json"))
		}
	}
	slices.Sort(keys)
	return keys
}

// What was posted here, and is not what the log published, is told of without anybody else.
func TestOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.judge(t, 998, 2000, nil)
	for epoch := uint64(998); epoch <= 2003; epoch++ {
		digest := digestOf(epoch)
		if epoch == 1500 {
			digest = [32]byte{7}
		}
		w.signHere(t, epoch, digest)
	}
	config := OursConfig{Namespace: namespace, Store: w.Store, Incidents: w.config.Incidents, Every: minute, Metrics: &w.counts}
	l := NewOurs(config)
	for range 3 {
		jobstest.Must(t, l.Round(t.Context()))
	}
	jobstest.Must(t, NewOurs(config).Round(t.Context()))
	w.wantOpen(t, "split_view/000000001500")
	if got := w.evidence(t, 1500); !slices.Equal(got, []string{"signed-digest", "split-view"}) {
		t.Errorf("evidence is %q", got)
	}
	// The second loop compares what is not of a shard that was compared as a whole.
	if want := map[string]int{same: 1002 + 3, splitView: 1}; !maps.Equal(w.counts.all, want) || w.counts.newest != 2000 {
		t.Errorf("it came to %v, up to %d, want %v", w.counts.all, w.counts.newest, want)
	}
}

// A log of which nothing is signed here costs a listing.
func TestNothingSignedHere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.judge(t, 1, 50, nil)
	watched, store := w.Watched(t, jobstest.NoFault)
	l := NewOurs(OursConfig{Namespace: namespace, Store: store.Store, Incidents: w.config.Incidents, Every: minute})
	jobstest.Must(t, l.Round(t.Context()))
	if n := watched.Requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}
