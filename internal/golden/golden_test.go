package golden_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// kind is a kind of stored object.
type kind struct {
	name  string                      // of the golden file
	keys  string                      // a regular expression of the keys of its objects
	write func(t *testing.T) []object // has the real code write some, and perhaps others
	scrub []scrub                     // what cannot be fixed
}

// scrub replaces what differs from run to run: the text that the pattern matches, but for its first
// group, if it has one.
type scrub struct {
	pattern *regexp.Regexp
	with    string
}

const timePattern = `"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z"`

var (
	startedAt  = scrub{regexp.MustCompile(`("started_at":)` + timePattern), `${1}"TIME"`}
	finishedAt = scrub{regexp.MustCompile(`("finished_at":)` + timePattern), `${1}"TIME"`}
	at         = scrub{regexp.MustCompile(`("at":)` + timePattern), `${1}"TIME"`}
	// people read it, no program does
	summary       = scrub{regexp.MustCompile(`("summary":)"[^"]*"`), `${1}"SUMMARY"`}
	recordedAt    = scrub{regexp.MustCompile(`("recorded_at":)` + timePattern), `${1}"TIME"`}
	modifiedAt    = scrub{regexp.MustCompile(`("modified_at":)` + timePattern), `${1}"TIME"`}
	postedHash    = scrub{regexp.MustCompile(`(/posted-[0-9a-f]{64}-)[0-9a-f]{16}\.json`), `${1}HASH.json`}
	findingsHash  = scrub{regexp.MustCompile(`(/findings-)[0-9a-f]{16}\.json`), `${1}HASH.json`}
	walkedAt      = scrub{regexp.MustCompile(`("walked_at":)` + timePattern), `${1}"TIME"`}
	verifySeconds = scrub{regexp.MustCompile(`("verify_seconds":)[0-9.e-]+`), `${1}SECONDS`}
	judgedNames   = []scrub{startedAt, finishedAt, verifySeconds}
	judged        = []scrub{startedAt, finishedAt, verifySeconds, modifiedAt}

	// A contradiction's name is the hash of a verdict with times; checkEvidenceNames holds it
	// against the bytes.
	contradictionHash = scrub{regexp.MustCompile(`(/contradiction-)[0-9a-f]{16}\.json`), `${1}HASH.json`}
	// So is that of evidence with the time of an object, and of a note on one that was written anew.
	otherBatchHash = scrub{regexp.MustCompile(`(/other-batch-)[0-9a-f]{16}\.json`), `${1}HASH.json`}
	reauditedHash  = scrub{regexp.MustCompile(`(/\d{12}-)[0-9a-f]{16}\.json`), `${1}HASH.json`}
	claimName      = scrub{regexp.MustCompile(`(/claims/hook/)\d{13}-[A-Z2-7]{26}\.json`), `${1}UNTIL-RANDOM.json`}
	pauseName      = scrub{regexp.MustCompile(`(/pauses/log/)\d{13}-`), `${1}UNTIL-`}
	clockName      = scrub{regexp.MustCompile(`(/archive/clock/)[A-Z2-7]{26}\n`), "${1}RANDOM\n"}
	sampleBy       = scrub{regexp.MustCompile(`("by":)"[A-Z2-7]{26}"`), `${1}"RANDOM"`}
	dueTime        = scrub{regexp.MustCompile(`(/schedule/[^/]*/)\d{12}\.json`), `${1}DUE.json`}

	// A seal has a thousand hashes, and the evidence of an equivocation up to a hundred keys. The
	// hash of the whole is below them.
	longList = scrub{regexp.MustCompile(`("(?:verdicts|digests|keys)":\["[^"]*","[^"]*",)"[^\]]*,("[^"]*"\])`), `${1}…,${2}`}
)

var kinds = []kind{
	{"verdict-verified-signed", `/verdicts/`, auditSigned, judged},
	{"verdict-verified-without-keys", `/verdicts/`, auditWithoutKeys, judged},
	{"verdict-fixed-times", `/verdicts/`, putVerdicts, nil},
	{"verdict-rejected-proof", `/verdicts/`, auditMalformed, judged},
	{"verdict-rejected-signature", `/verdicts/`, auditBadSignature, judged},
	{"verdict-rejected-two-batches", `/verdicts/`, auditEquivocation, judgedNames},
	{"verdict-strays", `/verdicts/`, auditStrays, judged},
	{"verdict-rejected-name", `/verdicts/`, auditBadName, judgedNames},
	{"signed-digest", `/signatures/`, auditSigned, nil},
	{"auditor-signed", `/signed/`, signDigests, signedAt},
	{"auditor-signing", `/signing/`, signDigests, nil},
	{"registry", `^_ktaudit/`, register, []scrub{at}},
	{"witness", `^_ktaudit/witness/`, cosignTwice, nil},
	{"evidence-posted", `/evidence/.*/posted-`, signDigests, append(signedAt, at, postedHash)},
	{"evidence-report", `/evidence/.*/report-`, signDigests, nil},
	{"alert-posted", `/alerts/open/`, signDigests, []scrub{at, summary}},
	{"crosscheck", `/crosscheck/[^o]`, crossCheck, nil},
	{"crosscheck-ours", `/crosscheck/ours/`, crossCheckOurs, nil},
	{"page-numbers", `/page/`, sumUpShard, nil},
	{"archive", `/archive/\d`, auditArchived, nil},
	{"archive-clock", `/archive/clock/`, askTheTime, []scrub{clockName}},

	{"evidence-equivocation", `/evidence/`, auditEquivocation, nil},
	{"evidence-equivocation-many", `/evidence/`, auditManyBatches, []scrub{longList}},
	{"evidence-equivocation-neighbours", `/evidence/`, auditForeignNeighbours, nil},
	{"evidence-name", `/evidence/`, auditBadName, nil},
	{"evidence-batch-too-large", `/evidence/`, auditTooLarge, nil},
	{"evidence-batch", `/evidence/.*/batch-`, reauditRewritten, nil},
	{"evidence-other-batch", `/evidence/.*/other-batch-`, reauditRewrittenLarge, []scrub{modifiedAt, otherBatchHash}},
	{"evidence-contradiction", `/evidence/.*/contradiction-`, reauditRewritten, append(judged, contradictionHash)},
	{"evidence-findings", `/evidence/.*/findings-`, auditWithFindings, []scrub{at, modifiedAt, findingsHash}},
	{"evidence-broken-chain", `/evidence/`, sealTwoShards, nil},
	{"evidence-signed-digest", `/evidence/`, auditBadSignature, nil},
	{"evidence-signed-digest-before", `/evidence/`, auditBadSignatureBefore, nil},
	{"evidence-signature", `/evidence/`, auditSignedAgain, nil},

	{"evidence-split-view", `/evidence/.*/split-view-`, crossCheck, nil},
	{"evidence-auditor-contradiction", `/evidence/.*/auditor-contradiction-`, crossCheck, nil},
	{"evidence-auditor-signed-rejected", `/evidence/.*/auditor-signed-rejected-`, crossCheck, nil},

	{"evidence-verdict-log-changed", `/evidence/.*/verdict-log-changed-`, accuseVerdictLog, nil},
	{"evidence-witness-disagrees", `/evidence/.*/witness-disagrees-`, accuseVerdictLog, nil},

	{"reaudited", `/reaudited/`, reauditRewritten, []scrub{modifiedAt, reauditedHash}},
	{"reaudited-listing", `/reaudited/`, putReaudited, nil},

	{"digest", `/digests/`, auditSigned, nil},
	{"digests-indexed", `/indexed/`, indexDigests, nil},

	{"seal", `/seals/`, sealTwoShards, []scrub{longList}},
	{"history", `/history/`, sealTwoShards, nil},

	{"chain-piece", `/chain/`, walkNames, nil},
	{"chain", `/chained/`, walkNames, []scrub{walkedAt}},
	{"evidence-names", `/evidence/.*/names-`, walkNames, nil},
	{"alert-names-changed", `/alerts/open/1-names_changed`, walkNames, []scrub{at, summary}},

	{"incident-open", `/incidents/open/`, incidents, []scrub{at, summary}},
	{"incident-acknowledged", `/incidents/acknowledged/`, incidents, []scrub{at}},
	{"incident-ended", `/incidents/ended/`, incidents, []scrub{summary}},
	{"incidents-complete", `/incidents/complete`, incidents, nil},

	{"alert-open", `/alerts/open/[12]-`, raiseEveryKind, nil},
	{"alert-open-resolved", `/alerts/open/3-`, raiseEveryKind, nil},
	{"alert-implausible", `/alerts/open/`, raiseImplausible, nil},
	{"alert-withdrawn", `/alerts/open/[13]-withdrawn`, raiseWithdrawn, nil},
	{"alert-recheck-overdue", `/alerts/open/`, raiseRecheckOverdue, nil},
	{"alert-canary", `/alerts/open/`, raiseCanary, nil},
	{"overruling", `/(overruled|alerts/open)/`, putOverruling, nil},
	{"alert-unknown-key", `/alerts/open/`, raiseUnknownKey, nil},
	{"alert-unknown-key-overdue", `/alerts/open/`, raiseKeyOverdue, nil},
	{"alert-of-auditors", `/alerts/open/`, crossCheck, []scrub{at, summary}},
	{"alert-of-verdict-log", `/alerts/open/`, accuseVerdictLog, []scrub{at, summary}},
	{"alert-of-audit", `/alerts/open/`, auditMalformed, []scrub{at, summary}},
	{"alert-of-seal", `/alerts/open/`, checkTampered, []scrub{at, summary}},
	{"alert-delivered", `/alerts/delivered/`, deliver, []scrub{recordedAt}},
	{"alert-closed", `/alerts/closed/`, deliver, []scrub{recordedAt}},
	{"alert-pause", `/pauses/`, pauseCause, []scrub{pauseName}},
	{"alert-claim", `/alerts/claims/`, claimTarget, []scrub{claimName}},

	{"tlog-start", `/tlog/start\.json`, appendVerdicts, nil},
	{"tlog-absent", `/tlog/absent/`, appendVerdicts, nil},
	{"tlog-plan", `/tlog/verdicts/plans/`, appendVerdicts, nil},
	{"tlog-tile", `/tlog/verdicts/tile/`, appendVerdicts, nil},
	{"tlog-checkpoint", `/tlog/verdicts/(checkpoint|witnessed)`, appendVerdicts, nil},
	{"tlog-event", `/tlog/event/`, recordEvents, []scrub{recordedAt}},

	{"schedule-first-seen", `/schedule/`, scheduleNew, []scrub{dueTime}},
	{"schedule-begun", `/schedule/`, scheduleAgain, []scrub{dueTime}},
	{"schedule-recheck", `/schedule/recheck/`, scheduleRecheck, []scrub{dueTime}},
	{"schedule-sample", `/schedule/sample/`, scheduleRecheck, []scrub{dueTime, sampleBy}},
	{"write-once-probe", `^\.ktaudit/`, putVerdicts, nil},
	{"local-disk", `.`, writeToDisk, nil},
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			all := k.write(t)
			checkEvidenceNames(t, all)
			checkAllArePinned(t, all)
			compare(t, k.name, k.text(t, all))
		})
	}
}

// A golden file that no kind is compared with would pin nothing.
func TestGoldenFilesHaveAKind(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !slices.ContainsFunc(kinds, func(k kind) bool { return goldenFile(k.name) == file }) {
			t.Errorf("%s belongs to no kind", file)
		}
	}
	names := map[string]bool{}
	for _, k := range kinds {
		if names[k.name] {
			t.Errorf("two kinds are called %s", k.name)
		}
		names[k.name] = true
	}
}

func goldenFile(name string) string { return filepath.Join("testdata", name+".txt") }

// text is what the golden file has: each object's key and bytes.
func (k kind) text(t *testing.T, all []object) string {
	t.Helper()
	keys := regexp.MustCompile(k.keys)
	var b strings.Builder
	for _, o := range all {
		if keys.MatchString(o.key) {
			b.WriteString(o.text())
		}
	}
	text := b.String()
	if text == "" {
		t.Fatalf("no object of this kind was written, but %d others", len(all))
	}
	for _, s := range k.scrub {
		if !s.pattern.MatchString(text) {
			t.Errorf("nothing is there to scrub for %s in\n%s", s.pattern, text)
		}
		text = s.pattern.ReplaceAllString(text, s.with)
	}
	return text
}

func compare(t *testing.T, name, got string) {
	t.Helper()
	file := goldenFile(name)
	want, err := os.ReadFile(file)
	if err != nil && !*update {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s: stored objects change (go test -update rewrites it)\n%s", file, firstDifference(string(want), got))
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return fmt.Sprintf("line %d\nwant: %s\ngot:  %s", i+1, w[i], g[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// checkAllArePinned fails on an object that is of no kind.
func checkAllArePinned(t *testing.T, all []object) {
	t.Helper()
	for _, o := range all {
		isOfKind := func(k kind) bool { return k.name != "local-disk" && regexp.MustCompile(k.keys).MatchString(o.key) }
		if !slices.ContainsFunc(kinds, isOfKind) {
			t.Errorf("%s was written, and no kind pins such objects", o.key)
		}
	}
}
