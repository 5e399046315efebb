package metrics

import (
	"slices"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/alert/targets"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/verdict"
)

// other replaces every value that is not in a set.
const other = "other"

// set holds the values that a label may have besides other.
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
	outcomes = newSet(observe.Verified, observe.Rejected, observe.Duplicate, observe.Contradiction)
	reasons  = newSet(verdict.Reasons()...)
	stages   = newSet(string(observe.Locate), string(observe.Signature), string(observe.Memory), string(observe.Download), string(observe.Verify), string(observe.Write))

	failureKinds = newSet(string(observe.NotPublished), string(observe.Unsettled), string(observe.NotSigned), string(observe.UnknownKey), string(observe.HandedBack), string(observe.LogDirectory),
		string(observe.Signatures), string(observe.AuditStore), string(observe.Timeout), string(observe.Panic), string(observe.Canary), string(observe.OtherFailure))

	queueClasses      = newSet("fresh", "backfill")
	recheckResults    = newSet("same", "changed", "equivocation", "gone", "unknown")
	crossCheckResults = newSet("same", "split_view", "contradiction", "rejected", "unknown_key", "absent", "failed")
	alertKinds        = newSet(slices.DeleteFunc(alert.Kinds(), isTest)...)
	targetKinds       = newSet(targets.Kinds()...)
)

// isTest reports whether alerts of a kind are sent by hand and never raised.
func isTest(k alert.Kind) bool { return k == alert.Test }
