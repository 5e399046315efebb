package alert

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
)

// everyKind is an alert of each constructor.
func everyKind() []Alert {
	equivocation := rejection(13)
	equivocation.Reason = "equivocation"
	verified := rejection(12)
	verified.Outcome, verified.Reason = verdict.Verified, ""
	return []Alert{
		OfVerdict(rejection(12)), OfVerdict(equivocation), OfContradiction(verified, rejection(12), nil),
		OfBrokenChain(namespace, 12, "digest_reused", "as epoch 3"), OfSealedMismatch(namespace, 722, "two verdicts are missing"),
		OfSkipped(namespace, 12, 13), OfImplausible(namespace, 5000, 12), OfNamesChanged(namespace, 12, "changed", "was replaced by another", "a detail", "names-changed-0123"), OfSilent(namespace, 12, began), OfBacklog(namespace, 12, began),
		OfTransient(namespace, 12, began, auditstore.ErrNotFound), OfUnknownKey(namespace, 12, auditstore.ErrNotFound), {Kind: KeyOverdue, Namespace: namespace, Incident: incidentOf(KeyOverdue, 12), Epoch: 12, Summary: "a summary"}, {Kind: Overruled, Namespace: namespace, Incident: OverruledIncident(12, 1), Epoch: 12, Summary: "a summary"},
		{Kind: VerdictLogChanged, Namespace: namespace, Incident: "verdict_log_changed/verdicts-1a2b3c4d", Epoch: 12, Summary: "a summary"},
		{Kind: WitnessDisagrees, Namespace: namespace, Incident: "witness_disagrees/verdicts/w-1a2b3c4d", Epoch: 12, Summary: "a summary"},
		{Kind: NotWitnessed, Namespace: namespace, Incident: "not_witnessed/verdicts/2026010100", Summary: "a summary"},
		{Kind: VerdictLogStalled, Namespace: namespace, Incident: "verdict_log_stalled/verdicts/2026010100", Summary: "a summary"}, OfTest(namespace, began),
		OfWithdrawn(namespace, 12, 13, began), {Kind: RecheckOverdue, Namespace: namespace, Incident: "recheck_overdue/000000000012/2026030405", Epoch: 12, Summary: "a summary"}, {Kind: Canary, Namespace: namespace, Incident: incidentOf(Canary, 12), Epoch: 12, Summary: "a summary"},
		{Kind: StoreUnwritable, Namespace: namespace, Incident: "store_unwritable/2026-03-04t05", Summary: "a summary", At: began},
		{Kind: SplitView, Namespace: namespace, Incident: FactIncident(SplitView, 12, "two digests"), Epoch: 12, Summary: "a summary"},
		{Kind: AuditorContradiction, Namespace: namespace, Incident: FactIncident(AuditorContradiction, 12, "two digests"), Epoch: 12, Summary: "a summary"},
		{Kind: AuditorSignedRejected, Namespace: namespace, Incident: FactIncident(AuditorSignedRejected, 12, "an auditor"), Epoch: 12, Summary: "a summary"},
		{Kind: AuditorKeyUnknown, Namespace: namespace, Incident: FactIncident(AuditorKeyUnknown, 12, "a key"), Epoch: 12, Summary: "a summary"},
		{Kind: AuditorLag, Namespace: namespace, Incident: FactIncident(AuditorLag, 12, "an auditor"), Epoch: 12, Summary: "a summary"},
		{Kind: AuditorSilent, Namespace: namespace, Incident: "auditor_silent/auditor/2026030405", Summary: "a summary"},
		{Kind: AuditorWentBack, Namespace: namespace, Incident: FactIncident(AuditorWentBack, 12, "an auditor"), Epoch: 12, Summary: "a summary"},
	}
}

func TestEveryKindCanBeRaisedAndRead(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	seen := map[Kind]bool{}
	for _, a := range everyKind() {
		a, err := a.Complete(began)
		if err != nil {
			t.Errorf("%+v: %v", a, err)
			continue
		}
		data, err := json.Marshal(a)
		must(t, err)
		got, err := decode(namespace, a.noticeName(), data)
		got.marks = a.marks // which are not recorded
		if err != nil || !reflect.DeepEqual(got, a) || kindOf(a.noticeName()) != a.Kind {
			t.Errorf("%s: read as %+v, %v, want %+v", a.noticeName(), got, err, a)
		}
		if _, err := decode("another", a.noticeName(), data); err == nil {
			t.Errorf("%s is read in another namespace", a.noticeName())
		}
		if names[a.noticeName()] || a.Summary == "" || a.Title() == "" || kinds[a.Kind].alertname == "" || strings.ContainsAny(a.Summary, "%!") {
			t.Errorf("%s: %+v", a.noticeName(), a)
		}
		names[a.noticeName()], seen[a.Kind] = true, true
	}
	if len(seen) != len(kinds) {
		t.Errorf("%d kinds of %d", len(seen), len(kinds))
	}
}

func TestNoticesAreListedInOrderOfSeverity(t *testing.T) {
	t.Parallel()
	names := []string{
		resolved(OfSkipped(namespace, 1, 2), began).noticeName(), OfSilent(namespace, 1, began).noticeName(), OfVerdict(rejection(999)).noticeName(),
		OfBacklog(namespace, 1, began).noticeName(), OfSkipped(namespace, 1, 2).noticeName(),
	}
	slices.Sort(names)
	want := []string{"1-rejected.000000000999", "1-skipped.000000000001", "2-backlog.000000000001", "2-silent.000000000001",
		"3-skipped.000000000001"}
	if !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

func TestWhatALogPublishedDoesNotPreventAnAlert(t *testing.T) {
	t.Parallel()
	v := rejection(1)
	v.Detail = strings.Repeat("\xff\x00é", 4000)
	a := OfVerdict(v)
	a.Summary = "line\nline\x1b[31m" + strings.Repeat("é", 1000)
	open := inMemory()
	raise(t, open(t), a)
	data, err := open(t).Outbox(namespace).Notice(t.Context(), "1-rejected.000000000001")
	must(t, err)
	got, err := decode(namespace, "1-rejected.000000000001", data)
	if err != nil || len(got.Summary) > maxSummary || len(got.Detail) > maxDetail || !utf8.ValidString(got.Detail) || strings.ContainsAny(got.Summary, "\n\x1b") {
		t.Errorf("%+v, %v", got, err)
	}
}

// What a log says reaches chats and terminals as text and as nothing else.
func TestHostileTextInAlerts(t *testing.T) {
	t.Parallel()
	const hostile = "key \x1b[2J\u202e\u2066\u2028\u009b\r\ufeff"
	a := OfVerdict(rejection(1))
	a.Summary, a.Detail = hostile, hostile+"\nsecond line"
	open := inMemory()
	raise(t, open(t), a)
	data, err := open(t).Outbox(namespace).Notice(t.Context(), "1-rejected.000000000001")
	must(t, err)
	got, err := decode(namespace, "1-rejected.000000000001", data)
	must(t, err)
	var decoded any
	must(t, json.Unmarshal(data, &decoded))
	if shown := fmt.Sprint(decoded); strings.ContainsAny(shown, "\x1b\u202e\u2066\u2028\u009b\r\ufeff") {
		t.Errorf("%q", shown)
	}
	if want := `key \x1b[2J\u202e\u2066\u2028\u009b\r\ufeff`; got.Summary != want || got.Detail != want+"\nsecond line" {
		t.Errorf("summary %q, detail %q", got.Summary, got.Detail)
	}
}

func TestBadIncidentsAreRefused(t *testing.T) {
	t.Parallel()
	open := inMemory()
	for _, bad := range []string{"", "rejected", "rejected/", "/rejected", "rejected/../x", "rejected/A", "rejected/a.b", "other/1", "silent/1",
		"rejected/" + strings.Repeat("1", 100)} {
		a := OfVerdict(rejection(1))
		a.Incident = bad
		if _, err := (Outbox{open(t)}).Raise(t.Context(), a); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, spoil := range []func(*Alert){
		func(a *Alert) { a.Reason = "two words" }, func(a *Alert) { a.Namespace = "../x" }, func(a *Alert) { a.Namespace = "" },
		func(a *Alert) { a.Kind = "other" },
	} {
		a := OfVerdict(rejection(1))
		spoil(&a)
		if _, err := (Outbox{open(t)}).Raise(t.Context(), a); err == nil {
			t.Errorf("%+v is taken", a)
		}
	}
	wantOpen(t, open(t))
}

func TestResolutionIsNotBeforeTheBeginning(t *testing.T) {
	t.Parallel()
	open := inMemory()
	raise(t, open(t), OfSilent(namespace, 5, began))
	must(t, Outbox{open(t)}.Resolve(t.Context(), namespace, SilentIncident(5), began.Add(-time.Hour)))
	data, err := open(t).Outbox(namespace).Notice(t.Context(), "3-silent.000000000005")
	must(t, err)
	if a, err := decode(namespace, "3-silent.000000000005", data); err != nil || !a.ResolvedAt.Equal(began) {
		t.Errorf("%+v, %v", a, err)
	}
}

// Whatever someone puts into the audit store is refused or bounded.
func FuzzDecode(f *testing.F) {
	for _, a := range everyKind() {
		a = filled(a)
		data, err := json.Marshal(a)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(a.noticeName(), data)
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		a, err := decode(namespace, name, data)
		if err != nil {
			return
		}
		if a.noticeName() != name || len(a.Summary) > maxSummary || len(a.Detail) > maxDetail || a.Severity != a.Kind.Severity() {
			t.Errorf("%q: %+v", name, a)
		}
	})
}
