package metrics

import (
	"slices"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/verdict"
)

// What can come of an epoch that was judged.
const (
	Verified = "verified"
	Rejected = "rejected"
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
	HandedBack   Failure = "handed_back"   // no fault: the worker stops
	LogDirectory Failure = "log_directory" // faults on the way to the batch
	Signatures   Failure = "signatures"    // faults on the way to signed digests
	AuditStore   Failure = "audit_store"   // faults on the way to the verdicts
	Timeout      Failure = "timeout"       // an attempt took too long
	Panic        Failure = "panic"         // a defect of ours
	OtherFailure Failure = other
)

// other stands for everything that is not in a set.
const other = "other"

// set is the values that a label may have, besides other.
type set map[string]bool

func newSet[T ~string](values ...T) set {
	s := set{}
	for _, v := range values {
		s[string(v)] = true
	}
	return s
}

func (s set) bound(value string) string {
	if s[value] {
		return value
	}
	return other
}

var (
	outcomes = newSet(Verified, Rejected, Duplicate, Contradiction)
	reasons  = newSet(verdict.Reasons()...)
	stages   = newSet(string(Locate), string(Signature), string(Memory), string(Download), string(Verify), string(Write))

	failureKinds = newSet(string(NotPublished), string(Unsettled), string(NotSigned), string(HandedBack), string(LogDirectory),
		string(Signatures), string(AuditStore), string(Timeout), string(Panic), string(OtherFailure))

	queueClasses = newSet("fresh", "backfill")
	alertKinds   = newSet(slices.DeleteFunc(alert.Kinds(), isTest)...)
	targets      = newSet(alert.TargetKinds()...)
)

// isTest reports whether alerts of a kind are sent by hand and never raised.
func isTest(k alert.Kind) bool { return k == alert.Test }
