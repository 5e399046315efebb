package incident_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// everyKind is an alert of each kind that is raised by itself, made up where a kind needs more than
// its name.
func everyKind() (all []alert.Alert) {
	for _, kind := range alert.Kinds() {
		if kind != alert.Test {
			all = append(all, alert.Alert{
				Kind: kind, Namespace: jobstest.Namespace, Incident: string(kind) + "/000000000012", Epoch: 12, Summary: "a summary", At: began,
			})
		}
	}
	return all
}

func newRecorder(store *auditstore.Store) incident.Recorder {
	return incident.Recorder{Store: store, Log: zerolog.Nop()}
}

// What is found again in each round of a comparison is an error in the log once.
func TestDisagreementIsLoggedOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := newRecorder(jobstest.NewArchiveStore(t).Store)
	r.Log = zerolog.New(&out).Level(zerolog.InfoLevel)
	for range 3 {
		jobstest.Must(t, r.RecordDisagreement(t.Context(), alert.Alert{
			Kind: alert.SplitView, Namespace: jobstest.Namespace, Epoch: 12, Incident: alert.FactIncident(alert.SplitView, 12, digestA, digestB), Summary: "two digests", At: began,
		}, nil, incident.Statement{By: "an auditor", Digest: digestA}, incident.Statement{By: incident.ByLog, Digest: digestB}))
	}
	if got := strings.Count(out.String(), `"message":"two digests"`); got != 1 {
		t.Errorf("it is logged %d times:\n%s", got, &out)
	}
}

// listed returns what is open, each as its state and name.
func listed(t *testing.T, store *auditstore.Store) []string {
	t.Helper()
	l, err := incident.ReadList(t.Context(), store, jobstest.Namespace)
	jobstest.Must(t, err)
	all := []string{}
	for _, o := range l.Open {
		state := string(o.Severity)
		if o.Acknowledged {
			state = "acknowledged"
		}
		all = append(all, state+" "+o.Incident)
	}
	return all
}

// names are the names of an epoch with two batches.
func names(epoch uint64) []verdict.ChainName {
	return []verdict.ChainName{nameOf("", epoch), nameOf("other", epoch)}
}

func nameOf(history string, epoch uint64) verdict.ChainName {
	return verdict.ChainName{PreviousDigest: jobstest.DigestOf("", epoch-1), Digest: jobstest.DigestOf(history, epoch)}
}

func acknowledge(t *testing.T, r incident.Recorder, name string) (incident.Acknowledgement, bool, error) {
	t.Helper()
	return r.Acknowledge(t.Context(), incident.Acknowledgement{
		Namespace: jobstest.Namespace, Incident: name, By: "alice", Reason: "seen",
	})
}

// Whatever an alert tells of is open, and in the outbox; a condition until it ends, a fact for
// ever. Neither comes again.
func TestEveryAlertHasItsIncident(t *testing.T) {
	t.Parallel()
	for _, a := range everyKind() {
		t.Run(string(a.Kind), func(t *testing.T) {
			t.Parallel()
			store := jobstest.NewArchiveStore(t).Store
			r := newRecorder(store)
			for range 2 {
				jobstest.Must(t, r.Raise(t.Context(), a))
			}
			want := []string{string(a.Kind.Severity()) + " " + a.Incident}
			if got := listed(t, store); !slices.Equal(got, want) {
				t.Fatalf("open is %q, want %q", got, want)
			}
			d, err := incident.ReadDetails(t.Context(), store, jobstest.Namespace, a.Incident)
			if err != nil || d.Error != "" || d.Alert == nil || d.Alert.Summary != a.Summary || d.From != 12 || d.Ended {
				t.Errorf("details are %+v, %v", d, err)
			}
			if got := len(jobstest.Notices(t, store)); got != 1 {
				t.Errorf("%d notices", got)
			}
			err = r.Resolve(t.Context(), a, began.Add(time.Hour))
			if (err == nil) != a.Kind.Ends() {
				t.Fatalf("resolving: %v", err)
			}
			if a.Kind.Ends() {
				want = []string{}
				jobstest.Must(t, r.Raise(t.Context(), a)) // by one who is late
				if d, err := incident.ReadDetails(t.Context(), store, jobstest.Namespace, a.Incident); err != nil || !d.Ended || !d.Alert.Resolved() {
					t.Errorf("details of what has ended are %+v, %v", d, err)
				}
			}
			if got := listed(t, store); !slices.Equal(got, want) {
				t.Errorf("in the end %q is open, want %q", got, want)
			}
		})
	}
}

// A crash or a lost answer at any write leaves nothing that is not repaired by doing it again, or by
// Reconcile: in the end incident and alert are both there, or both ended.
func TestCrashesAreRepaired(t *testing.T) {
	t.Parallel()
	for _, a := range everyKind() {
		for _, carriedOut := range []bool{false, true} {
			for n := range int64(12) {
				for _, again := range []bool{false, true} {
					store := jobstest.NewArchiveStore(t)
					_, watched := store.Watched(t, func(request int64, _ string) (error, bool) {
						if request > n {
							return jobstest.ErrFault, carriedOut && request == n+1
						}
						return nil, false
					})
					raised := newRecorder(watched.Store).Raise(t.Context(), a) == nil
					resolved := raised && a.Kind.Ends() && newRecorder(watched.Store).Resolve(t.Context(), a, began) == nil
					r := newRecorder(store.Store)
					if again {
						jobstest.Must(t, r.Raise(t.Context(), a))
					}
					if again && a.Kind.Ends() {
						jobstest.Must(t, r.Resolve(t.Context(), a, began))
					}
					jobstest.Must(t, r.Reconcile(t.Context(), jobstest.Namespace))
					if !again && a.Kind.Ends() && !resolved { // as the scheduler does when it starts
						lasting, err := r.Outbox().Unresolved(t.Context(), jobstest.Namespace, nil)
						jobstest.Must(t, err)
						for _, a := range lasting {
							jobstest.Must(t, r.Resolve(t.Context(), a, began))
						}
					}
					open, notices := listed(t, store.Store), jobstest.Notices(t, store.Store)
					wantOpen := len(notices)
					if a.Kind.Ends() {
						wantOpen = 0
					}
					if again && len(notices) == 0 || len(open) != wantOpen {
						t.Fatalf("%s, fault at request %d (carried out: %v, again: %v): open are %q, notices %q", a.Kind, n+1, carriedOut, again, open, notices)
					}
				}
			}
		}
	}
}

// What versions before incidents raised shows at once, and after it was carried over, the same. To
// repeat that changes nothing.
func TestOldStoresShowTheirIncidents(t *testing.T) {
	t.Parallel()
	store := jobstest.NewArchiveStore(t)
	r := newRecorder(store.Store)
	box := r.Outbox()
	for _, a := range everyKind() {
		_, err := box.Raise(t.Context(), a)
		jobstest.Must(t, err)
	}
	jobstest.Must(t, box.Resolve(t.Context(), jobstest.Namespace, "silent/000000000012", began))
	for _, name := range []string{"1-rejected.000000000012", "3-silent.000000000012", "2-silent.000000000012"} { // delivered long ago
		notices := store.Store.Outbox(jobstest.Namespace)
		data, err := notices.Notice(t.Context(), name)
		jobstest.Must(t, err)
		jobstest.Must(t, notices.Close(t.Context(), name, data))
	}
	want := slices.DeleteFunc(listed(t, store.Store), func(s string) bool { return strings.Contains(s, " silent/") })
	if got := listed(t, store.Store); !slices.Equal(got, want) || len(got) != len(everyKind())-1 {
		t.Fatalf("before it is carried over, open are %q", got)
	}
	if _, created, err := acknowledge(t, r, "rejected/000000000012"); err != nil || !created {
		t.Fatal(created, err)
	}
	if d, err := incident.ReadDetails(t.Context(), store.Store, jobstest.Namespace, "contradiction/000000000012"); err != nil || d.Alert == nil {
		t.Errorf("%+v, %v", d, err)
	}
	want = listed(t, store.Store)
	jobstest.Must(t, r.Reconcile(t.Context(), jobstest.Namespace))
	before := store.Kept(t)
	jobstest.Must(t, r.Reconcile(t.Context(), jobstest.Namespace))
	if after := store.Kept(t); len(after) != len(before) {
		t.Errorf("%d objects, then %d", len(before), len(after))
	}
	if got := listed(t, store.Store); !slices.Equal(got, want) || !slices.Contains(got, "acknowledged rejected/000000000012") {
		t.Errorf("open are %q, want %q", got, want)
	}
	watching, watched := store.Watched(t, jobstest.NoFault)
	listed(t, watched.Store)
	if n := watching.Requests.Load(); n > 3 {
		t.Errorf("%d requests, want 3 at most", n)
	}
}

// Of several who acknowledge at the same time one is on record, and all learn which.
func TestOneAcknowledgementCounts(t *testing.T) {
	t.Parallel()
	store := jobstest.NewArchiveStore(t).Store
	r := newRecorder(store)
	a := alert.OfNamesChanged(jobstest.Namespace, 12, "went", "what became of it", "a detail", "names-changed-0123")
	jobstest.Must(t, r.Raise(t.Context(), a))
	var all sync.WaitGroup
	var mu sync.Mutex
	recorded, won := map[string]int{}, 0
	for i := range 8 {
		all.Go(func() {
			got, created, err := r.Acknowledge(t.Context(), incident.Acknowledgement{
				Namespace: jobstest.Namespace, Incident: a.Incident, By: fmt.Sprint("person ", i), Reason: "seen",
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			recorded[got.By]++
			if created {
				won++
			}
		})
	}
	all.Wait()
	if len(recorded) != 1 || won != 1 {
		t.Errorf("%d acknowledgements were created, on record are %v", won, recorded)
	}
	if got := listed(t, store); !slices.Equal(got, []string{"acknowledged " + a.Incident}) {
		t.Errorf("open is %q", got)
	}
}

func TestOnlyWhatIsOpenCanBeAcknowledged(t *testing.T) {
	t.Parallel()
	r := newRecorder(jobstest.NewArchiveStore(t).Store)
	ended := alert.OfSkipped(jobstest.Namespace, 7, 8)
	jobstest.Must(t, r.Raise(t.Context(), ended))
	jobstest.Must(t, r.Resolve(t.Context(), ended, time.Now()))
	for _, name := range []string{"rejected/000000000001", ended.Incident, "", "../../verdicts/x", "a b", strings.Repeat("x", 5000)} {
		if _, _, err := acknowledge(t, r, name); err == nil {
			t.Errorf("%.40q was acknowledged", name)
		}
	}
	open := alert.OfDoubleName(jobstest.Namespace, 1, names(1), "")
	jobstest.Must(t, r.Raise(t.Context(), open))
	for _, a := range []incident.Acknowledgement{
		{By: " ", Reason: "seen"}, {By: "alice", Reason: "\t\n"}, {By: strings.Repeat("a", 101), Reason: "seen"}, {By: "alice", Reason: strings.Repeat("a", 2001)},
	} {
		a.Namespace, a.Incident = jobstest.Namespace, open.Incident
		if _, _, err := r.Acknowledge(t.Context(), a); err == nil {
			t.Errorf("%.60v was recorded", a)
		}
	}
}

// Whoever can write to the store can damage an object. It stays listed, says what is wrong with it,
// and hides no other.
func TestDamagedIncidentsHideNothing(t *testing.T) {
	t.Parallel()
	store := jobstest.NewArchiveStore(t)
	r := newRecorder(store.Store)
	double := alert.OfDoubleName(jobstest.Namespace, 1, names(1), "")
	jobstest.Must(t, r.Raise(t.Context(), double))
	good := []string{"critical " + double.Incident}
	for name, data := range map[string][]byte{
		"contradiction.000000000002": nil, "contradiction.000000000003": []byte("{"), "contradiction.000000000004": []byte("null"),
		"contradiction.000000000005": bytes.Repeat([]byte("["), auditstore.MaxNoticeBytes), "contradiction.000000000006": make([]byte, auditstore.MaxNoticeBytes+1),
		"contradiction.000000000007": []byte(`{"kind":"silent","namespace":"` + jobstest.Namespace + `","incident":"silent/000000000007","at":"2026-01-01T00:00:00Z"}`),
		"of_a_later_version.x":       []byte(`{}`), "nothing": []byte(`{}`),
	} {
		jobstest.Must(t, store.Bucket.WriteAll(t.Context(), jobstest.Namespace+"/incidents/open/"+name+".json", data, nil))
		good = append(good, "critical "+strings.ReplaceAll(name, ".", "/"))
	}
	jobstest.Must(t, store.Bucket.WriteAll(t.Context(), jobstest.Namespace+"/incidents/open/stray.txt", nil, nil))
	jobstest.Must(t, store.Bucket.WriteAll(t.Context(), jobstest.Namespace+"/incidents/acknowledged/contradiction.000000000002.json", []byte("{"), nil))
	slices.Sort(good)
	good[0] = "acknowledged contradiction/000000000002"
	got := listed(t, store.Store)
	slices.Sort(got)
	if !slices.Equal(got, good) {
		t.Errorf("open are\n%q, want\n%q", got, good)
	}
	for _, line := range got {
		_, name, _ := strings.Cut(line, " ")
		d, err := incident.ReadDetails(t.Context(), store.Store, jobstest.Namespace, name)
		if isGood := strings.HasPrefix(name, "equivocation"); err != nil || (d.Error == "") != isGood || (d.Alert != nil) != isGood || len(d.Error) > 1000 {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
	// They hold up nothing that is carried over, but are told of.
	_, err := r.Outbox().Raise(t.Context(), alert.OfVerdict(jobstest.RejectedVerdict(9)))
	jobstest.Must(t, err)
	if err := r.Reconcile(t.Context(), jobstest.Namespace); !errors.Is(err, auditstore.ErrCorrupt) {
		t.Errorf("reconciling says %v", err)
	}
	if complete, err := store.Store.Incidents(jobstest.Namespace).Complete(t.Context()); err != nil || !complete {
		t.Errorf("complete is %v, %v", complete, err)
	}
	if got := listed(t, store.Store); !slices.Contains(got, "critical equivocation/000000000009") {
		t.Errorf("open are %q", got)
	}
}

func TestWhichIncidentsConcernARange(t *testing.T) {
	t.Parallel()
	store := jobstest.NewArchiveStore(t).Store
	r := newRecorder(store)
	broken := alert.OfBreak(jobstest.Namespace, 30, "a digest", "another")
	for _, a := range []alert.Alert{
		broken, alert.OfNamesChanged(jobstest.Namespace, 20, "went", "", "", "x"),
		alert.OfDoubleName(jobstest.Namespace, 10, names(10), ""), alert.OfSealedMismatch(jobstest.Namespace, 7, "x"),
		alert.OfHistoryMismatch(jobstest.Namespace, 3, "x"), alert.OfSilent(jobstest.Namespace, 25, began),
	} {
		jobstest.Must(t, r.Raise(t.Context(), a))
	}
	_, _, err := acknowledge(t, r, alert.DoubleNameIncident(10, names(10)))
	jobstest.Must(t, err)
	l, err := incident.ReadList(t.Context(), store, jobstest.Namespace)
	jobstest.Must(t, err)
	for _, c := range []struct {
		from, to uint64
		count    int
	}{{1, 0, 6}, {21, 0, 4}, {31, 7000, 2}, {31, 6999, 1}, {1, 19, 2}, {11, 29, 3}} {
		if in := l.In(c.from, c.to); len(in.Open) != c.count {
			t.Errorf("%d to %d: %d incidents, want %d", c.from, c.to, len(in.Open), c.count)
		}
	}
	for _, c := range []struct {
		from, head, want uint64
		by               string
	}{
		{1, 100, 19, "names_changed/000000000020-2d711642"}, {1, 19, 19, ""}, {1, 20, 19, "names_changed/000000000020-2d711642"},
		{20, 25, 0, "names_changed/000000000020-2d711642"}, {21, 100, 29, broken.Incident}, {31, 100, 100, ""}, {1, 0, 0, ""},
	} {
		if head, by := l.Limit(c.from, c.head); head != c.want || by != c.by {
			t.Errorf("head %d from %d on is limited to %d by %q, want %d by %q", c.head, c.from, head, by, c.want, c.by)
		}
	}
	double, err := l.Acknowledged(t.Context(), alert.DoubleNameIncident(10, names(10)))
	jobstest.Must(t, err)
	chain, err := l.Covers(t.Context(), broken)
	if err != nil || !l.Wrong(false) || !double || chain {
		t.Errorf("%+v, %v", l, err)
	}
}
