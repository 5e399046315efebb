// Package observe is what the rooms of jobs say of their work while they do it: how far a log and
// its audit are, what an attempt at an epoch took and how it ended.
//
// It has the words and the interfaces only. Package internal/metrics shows them to Prometheus and
// internal/tracing sends traces; whoever embeds the rooms in another program may pass its own. A
// nil interface observes nothing.
package observe

import (
	"context"
	"time"

	"github.com/ktaudit/ktaudit/verdict"
)

// What can come of an epoch that was judged.
const (
	Verified = string(verdict.Verified)
	Rejected = string(verdict.Rejected)
	// Duplicate: the verdict was on record already, before work began or when it was done.
	Duplicate = "duplicate"
	// Contradiction: another verdict is on record.
	Contradiction = "contradiction"
)

// A Stage of an epoch's way. They are in its order; Download and Verify run at the same time.
type Stage string

const (
	Locate    Stage = "locate"    // finding the batch
	Signature Stage = "signature" // fetching and checking signed digests
	Memory    Stage = "memory"    // waiting for a share of the memory budget
	Download  Stage = "download"
	Verify    Stage = "verify"
	Write     Stage = "write" // everything that goes into the audit store
)

// A Failure is why an attempt at an epoch ended without a verdict.
type Failure string

const (
	NotPublished Failure = "not_published" // no fault: the log is not that far
	Unsettled    Failure = "unsettled"     // no fault: what looks wrong was written just now
	NotSigned    Failure = "not_signed"    // no fault: the signer is not that far
	UnknownKey   Failure = "unknown_key"   // no fault: its key is not configured
	HandedBack   Failure = "handed_back"   // no fault: the worker stops
	LogDirectory Failure = "log_directory" // faults on the way to the batch
	Signatures   Failure = "signatures"    // faults on the way to signed digests
	AuditStore   Failure = "audit_store"   // faults on the way to the verdicts
	Timeout      Failure = "timeout"       // an attempt took too long
	Panic        Failure = "panic"         // a defect of ours
	Canary       Failure = "canary"        // the judge verified a damaged proof
	OtherFailure Failure = "other"
)

// Result is how an attempt ended: with an outcome, or with a failure.
type Result struct {
	Outcome string // one of the constants, or empty
	Reason  string // of a rejection or a contradiction
	Failure Failure
	Err     error // what a trace says of a failure
}

// LogState is how far a log and its audit are. A field that is zero is not known, and not shown.
type LogState struct {
	Head   uint64 // the last epoch up to which every one is verified
	Newest uint64 // the last one published
	// NewestSince is when Newest was first seen; while the log has shown no epoch, since when that
	// is so.
	NewestSince time.Time
	// Open is how many published epochs have no verdict, of those that the audit is due: not of a
	// backfill still under way. A rejection is a verdict. It holds back Head for ever, and an alert
	// on the distance to it would never end.
	Open uint64
	// OldestOpenSince is when the oldest of these was published, or first seen.
	OldestOpenSince time.Time
}

// ChainState is what names alone show of a log.
type ChainState struct {
	WalkedAt time.Time // when the last walk of all of them began
	// Chained is how many epochs have one batch and are in a chain of names, Gaps how many have
	// none, Doubles several; Breaks how many do not continue the one before.
	Chained, Gaps, Doubles, Breaks uint64
}

// VerdictLogState is how far a log of an auditor's own verdicts, or of later events, is.
type VerdictLogState struct {
	// Entries are signed, Witnessed of them cosigned by enough witnesses.
	Entries, Witnessed int64
	// AppendedAt is when a round last found nothing more to append.
	AppendedAt time.Time
}

// Stall is what of a log's work is in flight and comes no further.
type Stall struct {
	Epochs int
	For    time.Duration // the longest of them
}

// Metrics is told what happens. Its methods may be called from any goroutine.
type Metrics interface {
	// Begin is called when work on an epoch begins. The caller must call End of what it returns.
	Begin(ctx context.Context, namespace string, epoch uint64) Attempt
	// SetLog shows how far a log and its audit are.
	SetLog(namespace string, s LogState)
	// SetChain shows what the last walk of a log's names found.
	SetChain(namespace string, s ChainState)
	// AlertRaised counts an alert that was put into the outbox.
	AlertRaised(namespace, kind string)
	// CanaryTested counts a test of the judge, and whether it verified a damaged proof.
	CanaryTested(namespace string, verified bool)
	// Rechecked counts epochs that were looked at again, by what that came to: same, changed,
	// equivocation, gone or unknown.
	Rechecked(namespace, result string, epochs int)
	// CrossChecked counts what comparing an auditor's signed digests came to: same, split_view,
	// contradiction, rejected, unknown_key, absent or failed.
	CrossChecked(namespace, auditor, result string, epochs int)
	// SetCrossChecked shows the newest epoch that an auditor is known to have signed.
	SetCrossChecked(namespace, auditor string, epoch uint64)
	// SetVerdictLog shows how far a log is of a namespace, "verdicts" or "events".
	SetVerdictLog(namespace, log string, s VerdictLogState)
	// WitnessAnswered counts what a witness answered: cosigned, disagrees, refused or failed.
	WitnessAnswered(namespace, witness, result string)
	// ArchiveRemoved counts archived batches that were removed because their retention was over.
	ArchiveRemoved(namespace string, batches int)
}

// Attempt is told of one attempt at an epoch, by one goroutine.
type Attempt interface {
	// Stage is called when a stage that had the epoch to itself has ended.
	Stage(s Stage, began time.Time)
	// Overlapped is called after a stage that ran while another did, and that was what the epoch
	// waited for during busy only.
	Overlapped(s Stage, began, ended time.Time, busy time.Duration)
	// Read is called after each batch that was read to its end, of which there are two if it looks
	// wrong.
	Read(stored, bytes int64)
	// End is called once, when the attempt is over.
	End(r Result)
}

// Tracer is told of the rounds of a scheduler.
type Tracer interface {
	// Round begins the trace of one round; what names it. The caller must call end.
	Round(ctx context.Context, what, namespace string) (end func(error))
}

// MetricsOr returns m, or Nothing if it is nil.
func MetricsOr(m Metrics) Metrics {
	if m == nil {
		return Nothing{}
	}
	return m
}

// TracerOr returns t, or Nothing if it is nil.
func TracerOr(t Tracer) Tracer {
	if t == nil {
		return Nothing{}
	}
	return t
}

// Nothing observes nothing, and costs nothing.
type Nothing struct{}

func (Nothing) Begin(context.Context, string, uint64) Attempt         { return Nothing{} }
func (Nothing) SetLog(string, LogState)                               {}
func (Nothing) SetChain(string, ChainState)                           {}
func (Nothing) AlertRaised(string, string)                            {}
func (Nothing) CanaryTested(string, bool)                             {}
func (Nothing) Rechecked(string, string, int)                         {}
func (Nothing) CrossChecked(string, string, string, int)              {}
func (Nothing) SetCrossChecked(string, string, uint64)                {}
func (Nothing) SetVerdictLog(string, string, VerdictLogState)         {}
func (Nothing) WitnessAnswered(string, string, string)                {}
func (Nothing) ArchiveRemoved(string, int)                            {}
func (Nothing) Stage(Stage, time.Time)                                {}
func (Nothing) Overlapped(Stage, time.Time, time.Time, time.Duration) {}
func (Nothing) Read(int64, int64)                                     {}
func (Nothing) End(Result)                                            {}
func (Nothing) Round(context.Context, string, string) func(error)     { return func(error) {} }
