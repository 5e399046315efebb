package alert

import (
	"maps"
	"slices"
)

// Kind says what sort of thing happened.
type Kind string

// The kinds of alerts. A new one also needs a row in the table below.
const (
	// Rejected: an epoch was rejected.
	Rejected Kind = "rejected"
	// Equivocation: a log published several batches for one epoch.
	Equivocation Kind = "equivocation"
	// Contradiction: a second audit disagrees with the one on record, or an epoch with the next.
	Contradiction Kind = "contradiction"
	// SealedMismatch: a seal no longer matches its verdicts, or the history no longer its seals.
	SealedMismatch Kind = "sealed_mismatch"
	// Skipped: a log went on without an epoch. It ends if the epoch is published after all.
	Skipped Kind = "skipped"
	// Implausible: a log lists an epoch far ahead of what it can have come to. It ends if the log
	// comes to it, or lists it no more.
	Implausible Kind = "implausible"
	// Silent: a log publishes nothing. It ends.
	Silent Kind = "silent"
	// Backlog: epochs wait too long for a verdict. It ends.
	Backlog Kind = "backlog"
	// Transient: the audit of an epoch fails again and again. It ends.
	Transient Kind = "transient"
	// Overruled: an operator had an epoch judged anew.
	Overruled Kind = "overruled"
	// UnknownKey: epochs wait for a key that is not configured. It ends.
	UnknownKey Kind = "unknown_key"
	// KeyOverdue: they have been waiting for it too long. It ends.
	KeyOverdue Kind = "unknown_key_overdue"
	// NamesChanged: names that a log listed are listed otherwise now.
	NamesChanged Kind = "names_changed"
	// Withdrawn: batches that were judged are gone from the log. It ends if they come back.
	Withdrawn Kind = "withdrawn"
	// RecheckOverdue: epochs that were judged could not be looked at again for too long. It ends.
	RecheckOverdue Kind = "recheck_overdue"
	// Canary: ktaudit verified a proof that it had damaged itself.
	Canary Kind = "canary"
	// StoreUnwritable: the audit store takes no writes. It goes past the outbox. It ends.
	StoreUnwritable Kind = "store_unwritable"
	// SplitView: another digest was signed for an epoch than the log showed here.
	SplitView Kind = "split_view"
	// AuditorContradiction: another auditor contradicts itself.
	AuditorContradiction Kind = "auditor_contradiction"
	// AuditorSignedRejected: another auditor signed an epoch that was rejected here.
	AuditorSignedRejected Kind = "auditor_signed_rejected"
	// AuditorKeyUnknown: another auditor signs with a key that is not pinned here. It ends.
	AuditorKeyUnknown Kind = "auditor_key_unknown"
	// AuditorLag: another auditor has not signed what has a verdict here. It ends.
	AuditorLag Kind = "auditor_lag"
	// AuditorSilent: another auditor gives no answer that can be read. It ends.
	AuditorSilent Kind = "auditor_silent"
	// AuditorWentBack: it verified less than it said before. It ends.
	AuditorWentBack Kind = "auditor_went_back"
	// VerdictLogChanged: what is in the audit store is not what the verdict log signed.
	VerdictLogChanged Kind = "verdict_log_changed"
	// WitnessDisagrees: a witness knows another verdict log, or a later one than is in the store.
	WitnessDisagrees Kind = "witness_disagrees"
	// NotWitnessed: too few witnesses cosign. It ends.
	NotWitnessed Kind = "not_witnessed"
	// VerdictLogStalled: faults keep verdicts from being appended. It ends.
	VerdictLogStalled Kind = "verdict_log_stalled"
	// Test: an operator checks that alerts arrive. It ends.
	Test Kind = "test"
)

// Severity says how urgent an alert is. It follows from the kind.
type Severity string

// Critical alerts say that a log may have broken its promise, or ktaudit its own; warnings, that
// ktaudit cannot tell.
const (
	Critical Severity = "critical"
	Warning  Severity = "warning"
)

var kinds = map[Kind]struct {
	severity  Severity
	ends      bool
	alertname string // the label that names an alert in Alertmanager
	title     string
}{
	Rejected:              {Critical, false, "KtauditEpochRejected", "epoch rejected"},
	Equivocation:          {Critical, false, "KtauditEquivocation", "two histories at one epoch"},
	Contradiction:         {Critical, false, "KtauditContradiction", "statements contradict each other"},
	SealedMismatch:        {Critical, false, "KtauditSealedMismatch", "audit store differs from its seals"},
	Skipped:               {Critical, true, "KtauditEpochSkipped", "epoch missing"},
	Implausible:           {Warning, true, "KtauditImplausibleEpoch", "epoch far ahead of the log"},
	Silent:                {Warning, true, "KtauditLogSilent", "log publishes nothing"},
	Backlog:               {Warning, true, "KtauditBacklog", "epochs wait for a verdict"},
	Transient:             {Warning, true, "KtauditTransientFailures", "epoch cannot be audited"},
	Overruled:             {Warning, false, "KtauditOverruled", "verdict overruled"},
	UnknownKey:            {Warning, true, "KtauditUnknownKey", "epochs signed with an unknown key"},
	KeyOverdue:            {Critical, true, "KtauditUnknownKeyOverdue", "epochs wait too long for an unknown key"},
	NamesChanged:          {Critical, false, "KtauditNamesChanged", "published names changed"},
	Withdrawn:             {Critical, true, "KtauditWithdrawn", "audited batches are gone"},
	RecheckOverdue:        {Critical, true, "KtauditRecheckOverdue", "audited epochs cannot be checked again"},
	Canary:                {Critical, false, "KtauditCanary", "worker verified a damaged proof"},
	StoreUnwritable:       {Critical, true, "KtauditStoreUnwritable", "audit store cannot be written"},
	SplitView:             {Critical, false, "KtauditSplitView", "split view, two digests for one epoch"},
	AuditorContradiction:  {Critical, false, "KtauditAuditorContradiction", "auditor contradicts itself"},
	AuditorSignedRejected: {Warning, false, "KtauditAuditorSignedRejected", "auditor signed a rejected epoch"},
	AuditorKeyUnknown:     {Warning, true, "KtauditAuditorKeyUnknown", "auditor signs with an unknown key"},
	AuditorLag:            {Warning, true, "KtauditAuditorLag", "auditor is behind"},
	AuditorSilent:         {Warning, true, "KtauditAuditorSilent", "auditor gives no answer"},
	AuditorWentBack:       {Warning, true, "KtauditAuditorWentBack", "auditor took epochs back"},
	VerdictLogChanged:     {Critical, false, "KtauditVerdictLogChanged", "audit store differs from the signed verdict log"},
	WitnessDisagrees:      {Critical, false, "KtauditWitnessDisagrees", "witness knows another verdict log"},
	NotWitnessed:          {Warning, true, "KtauditNotWitnessed", "too few witnesses cosign"},
	VerdictLogStalled:     {Warning, true, "KtauditVerdictLogStalled", "verdict log cannot be written"},
	Test:                  {Warning, true, "KtauditTest", "test alert"},
}

// Kinds returns all kinds of alerts, in alphabetical order.
func Kinds() []Kind { return slices.Sorted(maps.Keys(kinds)) }

// Title is the headline of alerts of the kind, in a few words.
func (k Kind) Title() string { return kinds[k].title }

// Severity returns how urgent alerts of the kind are.
func (k Kind) Severity() Severity { return kinds[k].severity }

// Ends reports whether k is a condition, which somebody resolves when it is over, and not a fact.
func (k Kind) Ends() bool { return kinds[k].ends }

// AlertName is the label that names alerts of the kind in Alertmanager.
func (k Kind) AlertName() string { return kinds[k].alertname }
