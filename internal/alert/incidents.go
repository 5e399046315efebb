package alert

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/verdict"
)

// OfVerdict is the alert on a rejected verdict. Raise it before the verdict is written (see the
// package comment).
func OfVerdict(v verdict.Verdict) Alert {
	a := Alert{
		Kind: Rejected, Namespace: v.Namespace, Incident: VerdictIncident(v), Epoch: v.Epoch,
		Reason: string(v.Reason), Detail: v.Detail,
		Summary: fmt.Sprintf("epoch %d of %s was rejected: %s", v.Epoch, v.Namespace, v.Reason),
	}
	if v.Reason == verdict.BatchTooLarge {
		a.Summary = fmt.Sprintf("epoch %d of %s was not judged: its batch is over the limits set here", v.Epoch, v.Namespace)
	}
	if v.Reason == verdict.Equivocation {
		a.Kind = Equivocation
		a.Summary = fmt.Sprintf("%s showed two histories at epoch %d", v.Namespace, v.Epoch)
	}
	return a
}

// OfContradiction is the alert on a second audit of an epoch that disagrees with the verdict on
// record. Where it found another batch than the one on record, or several of the names, it is the
// incident of an equivocation, as that of a verdict which says so.
func OfContradiction(recorded, found verdict.Verdict, names []verdict.ChainName) Alert {
	describe := func(v verdict.Verdict) string {
		if v.Reason != "" {
			return fmt.Sprintf("%s (%s), digest %s", v.Outcome, v.Reason, v.Digest)
		}
		return fmt.Sprintf("%s, digest %s", v.Outcome, v.Digest)
	}
	detail := fmt.Sprintf("on record: %s\nfound now: %s", describe(recorded), describe(found))
	another := found.Digest != recorded.Digest || found.PreviousDigest != recorded.PreviousDigest
	if found.Reason == verdict.Equivocation || another && found.Digest != "" && recorded.Digest != "" {
		names = slices.Clone(names)
		for _, v := range []verdict.Verdict{recorded, found} {
			if v.Digest != "" {
				names = append(names, verdict.ChainName{PreviousDigest: v.PreviousDigest, Digest: v.Digest})
			}
		}
		return OfDoubleName(recorded.Namespace, recorded.Epoch, names, detail+"\n"+found.Detail)
	}
	return Alert{
		Kind: Contradiction, Namespace: recorded.Namespace, Epoch: recorded.Epoch, Reason: string(found.Reason),
		Incident: factIncident(incidentOf(Contradiction, recorded.Epoch), detail, recorded.PreviousDigest, found.PreviousDigest),
		Summary: fmt.Sprintf("epoch %d of %s: a later look contradicts the verdict on record",
			recorded.Epoch, recorded.Namespace),
		Detail: detail, marks: detail,
	}
}

// OfBrokenChain is the alert on an epoch that does not fit another one. The detail says how; the
// digests are those that show it.
func OfBrokenChain(namespace string, epoch uint64, reason verdict.Reason, detail string, digests ...string) Alert {
	fact := append([]string{string(reason)}, digests...)
	if reason == verdict.Island { // to a walk of names, it is no other break than between verified epochs
		fact[0] = string(verdict.BrokenChain)
	}
	return Alert{
		Kind: Contradiction, Namespace: namespace, Epoch: epoch, Reason: string(reason),
		Incident: factIncident(incidentOf(Contradiction, epoch)+"/chain", fact...),
		Summary:  fmt.Sprintf("epoch %d of %s does not fit the epochs around it", epoch, namespace),
		Detail:   detail, marks: strings.Join(digests, marksSeparator),
	}
}

// OfBreak is OfBrokenChain where an epoch begins with another digest than the one before ends with.
func OfBreak(namespace string, epoch uint64, before, begin string) Alert {
	return OfBrokenChain(namespace, epoch, verdict.BrokenChain,
		fmt.Sprintf("epoch %d ends with digest %s, epoch %d begins with %s", epoch-1, before, epoch, begin), before, begin)
}

// OfRollback is OfBrokenChain where an epoch begins with the digest of an earlier one.
func OfRollback(namespace string, epoch, to uint64, begin string) Alert {
	return OfBrokenChain(namespace, epoch, verdict.Rollback,
		fmt.Sprintf("epoch %d begins with digest %s, with which epoch %d ended: the log went back, and its tree lacks what came between",
			epoch, begin, to), begin)
}

// OfIsland is OfBrokenChain where an epoch behind a rejected one, which claims a digest, begins
// with another, and no epoch before it is verified to have ended with that.
func OfIsland(namespace string, epoch uint64, claimed, begin string) Alert {
	return OfBrokenChain(namespace, epoch, verdict.Island,
		fmt.Sprintf("epoch %d begins with digest %s, with which no epoch before is verified to have ended; epoch %d, which was rejected, claims %s",
			epoch, begin, epoch-1, claimed), claimed, begin)
}

// OfDoubleName is the alert on an epoch that has several batches by their names. Whoever finds the
// same names raises the same incident, a verdict that says so, too.
func OfDoubleName(namespace string, epoch uint64, names []verdict.ChainName, detail string) Alert {
	a := Alert{
		Kind: Equivocation, Namespace: namespace, Epoch: epoch, Reason: string(verdict.Equivocation), Detail: detail,
		Incident: DoubleNameIncident(epoch, names),
		Summary:  fmt.Sprintf("%s published more than one batch for epoch %d", namespace, epoch),
	}
	var marks []string
	for _, n := range names {
		marks = append(marks, n.PreviousDigest, n.Digest)
	}
	a.marks = strings.Join(marks, marksSeparator)
	return a
}

// OfNamesChanged is the alert on names that are on record and are listed otherwise now. The
// evidence, by its name, is part of the incident's: another change is another incident. The text
// says what became of the name on record.
func OfNamesChanged(namespace string, epoch uint64, change, text, detail, evidence string) Alert {
	return Alert{
		Kind: NamesChanged, Namespace: namespace, Epoch: epoch, Reason: change, Detail: detail,
		Incident: fmt.Sprintf("%s-%.4x", incidentOf(NamesChanged, epoch), sha256.Sum256([]byte(evidence))),
		Summary:  fmt.Sprintf("%s: the name of epoch %d on record %s", namespace, epoch, text),
	}
}

// OfSealedMismatch is the alert on a sealed shard whose verdicts are no longer those that were
// sealed. The detail, which says what is wrong, is part of the incident's name: something else that
// goes wrong with the shard later is another incident.
func OfSealedMismatch(namespace string, shard uint64, detail string) Alert {
	first, last := verdict.ShardRange(shard)
	return Alert{
		Kind: SealedMismatch, Namespace: namespace, Epoch: first,
		Incident: fmt.Sprintf("%s/%09d-%.4x", SealedMismatch, shard, sha256.Sum256([]byte(detail))),
		Summary:  fmt.Sprintf("verdicts of %s on epochs %d to %d are not those that were sealed", namespace, first, last),
		Detail:   detail,
	}
}

// OfHistoryMismatch is the alert on a history, the sum of all seals, that cannot be read.
func OfHistoryMismatch(namespace string, generation uint64, detail string) Alert {
	return Alert{
		Kind: SealedMismatch, Namespace: namespace,
		Incident: fmt.Sprintf("%s/history-%012d", SealedMismatch, generation),
		Summary:  fmt.Sprintf("the list of seals of %s cannot be read; it is made anew from the seals", namespace),
		Detail:   detail,
	}
}

// OfSkipped is the alert on an epoch that a log left out while it went on. Resolve SkippedIncident
// if the epoch is published after all.
func OfSkipped(namespace string, epoch, next uint64) Alert {
	return Alert{
		Kind: Skipped, Namespace: namespace, Incident: SkippedIncident(epoch), Epoch: epoch,
		Summary: fmt.Sprintf("%s has not published epoch %d, but has epoch %d", namespace, epoch, next),
	}
}

// OfWithdrawn is the alert on a run of epochs whose batches were judged and are gone from the log.
// Resolve its incident if they are there again. The hour is part of its name: what comes back and
// goes again later is another incident.
func OfWithdrawn(namespace string, first, last uint64, now time.Time) Alert {
	which := fmt.Sprintf("the batch of epoch %d", first)
	if last > first {
		which = fmt.Sprintf("the batches of epochs %d to %d", first, last)
	}
	return Alert{
		Kind: Withdrawn, Namespace: namespace, Epoch: first, At: now,
		Incident: fmt.Sprintf("%s-%012d/%s", incidentOf(Withdrawn, first), last, now.UTC().Format("2006010215")),
		Summary:  fmt.Sprintf("%s does not list %s any more, though it was judged", namespace, which),
	}
}

// OfImplausible is the alert on an epoch that a log lists so far ahead of its chain, which ends
// with another epoch, that it cannot have come to it. Resolve its incident if it has, or lists it
// no more.
func OfImplausible(namespace string, epoch, chained uint64) Alert {
	return Alert{
		Kind: Implausible, Namespace: namespace, Incident: incidentOf(Implausible, epoch), Epoch: epoch,
		Summary: fmt.Sprintf("%s lists epoch %d, but its chain ends with epoch %d: epochs that far ahead are not followed", namespace, epoch, chained),
	}
}

// OfSilent is the alert on a log that has published nothing since its epoch last. Resolve
// SilentIncident when it publishes again.
func OfSilent(namespace string, last uint64, since time.Time) Alert {
	return Alert{
		Kind: Silent, Namespace: namespace, Incident: SilentIncident(last), Epoch: last, At: since,
		Summary: fmt.Sprintf("%s has published nothing after epoch %d since %s", namespace, last, since.UTC().Format(time.RFC3339)),
	}
}

// OfBacklog is the alert on epochs that wait too long for a verdict; since is when the oldest of
// them was published. Resolve its incident when the backlog has gone, not when
// only its oldest epoch has a verdict: that would be a new alert for each epoch.
func OfBacklog(namespace string, oldest uint64, since time.Time) Alert {
	return Alert{
		Kind: Backlog, Namespace: namespace, Incident: incidentOf(Backlog, oldest), Epoch: oldest, At: since,
		Summary: fmt.Sprintf("epochs of %s wait for a verdict, epoch %d since %s", namespace, oldest, since.UTC().Format(time.RFC3339)),
	}
}

// OfTransient is the alert on an epoch that cannot be audited because of errors that should have
// passed. Resolve its incident when the epoch has a verdict.
func OfTransient(namespace string, epoch uint64, since time.Time, last error) Alert {
	return Alert{
		Kind: Transient, Namespace: namespace, Incident: incidentOf(Transient, epoch), Epoch: epoch, At: since,
		Summary: fmt.Sprintf("epoch %d of %s cannot be judged since %s", epoch, namespace, since.UTC().Format(time.RFC3339)),
		Detail:  last.Error(),
	}
}

// OverruledIncident is the incident of a verdict that an operator had replaced.
func OverruledIncident(epoch, number uint64) string {
	return fmt.Sprintf("%s-%03d", incidentOf(Overruled, epoch), number)
}

// OfUnknownKey is the alert on epochs, this one and later ones, that wait for a key.
func OfUnknownKey(namespace string, epoch uint64, why error) Alert {
	return Alert{
		Kind: UnknownKey, Namespace: namespace, Incident: incidentOf(UnknownKey, epoch), Epoch: epoch,
		Summary: fmt.Sprintf("epochs of %s wait for a verifying key, the first is epoch %d: %v", namespace, epoch, why),
		Detail: fmt.Sprintf("Nothing is rejected or lost: the epochs are judged once their key, whose last digits are in brackets, is configured. "+
			"If the log has a new key, get it by another way than from the log, add it to verifying_keys with from_epoch: %d, "+
			"and restart the workers. If it has none, ask who signs in its name.", epoch),
	}
}

// OfTest is an alert that shows only that alerts arrive.
func OfTest(namespace string, now time.Time) Alert {
	return Alert{
		Kind: Test, Namespace: namespace, Incident: fmt.Sprintf("%s/%d", Test, now.UnixNano()), At: now,
		Summary: "this is a test: alerts of " + namespace + " reach you",
	}
}

// VerdictIncident is the incident of OfVerdict.
func VerdictIncident(v verdict.Verdict) string {
	switch {
	case v.Reason != verdict.Equivocation:
		return incidentOf(Rejected, v.Epoch)
	case v.Incident != "":
		return v.Incident
	}
	return incidentOf(Equivocation, v.Epoch)
}

// DoubleNameIncident is the incident of OfDoubleName.
func DoubleNameIncident(epoch uint64, names []verdict.ChainName) string {
	return factIncident(incidentOf(Equivocation, epoch), verdict.NamesText(names))
}

// SkippedIncident is the incident of OfSkipped, for Resolve.
func SkippedIncident(epoch uint64) string { return incidentOf(Skipped, epoch) }

// SilentIncident is the incident of OfSilent, for Resolve.
func SilentIncident(last uint64) string { return incidentOf(Silent, last) }

func incidentOf(k Kind, epoch uint64) string { return fmt.Sprintf("%s/%012d", k, epoch) }

// factIncident is the incident of a fact of which an epoch may have several: what differs in
// anything has a name of its own, so that nobody acknowledges what they did not see. A log chooses
// what is hashed, so the hash is long enough that it finds no two alike.
func factIncident(base string, fact ...string) string {
	return fmt.Sprintf("%s-%.16x", base, sha256.Sum256([]byte(strings.Join(fact, "\n"))))
}

// FactIncident is the name of a fact's incident at an epoch; what shows the fact is part of it.
func FactIncident(k Kind, epoch uint64, fact ...string) string {
	return factIncident(incidentOf(k, epoch), fact...)
}

// marksSeparator stands between the marks of an alert.
const marksSeparator = "\x00"

// FormerIncident is the name that the incident of a fact had before names told facts apart; empty
// for others.
func (a Alert) FormerIncident() string {
	if a.marks == "" {
		return ""
	}
	former, _, _ := strings.Cut(a.Incident, "-")
	return former
}

// IsSameFact reports whether an alert under the former name tells of the same fact.
func (a Alert) IsSameFact(former Alert) bool {
	if a.marks == "" || a.Reason != former.Reason {
		return false
	}
	for mark := range strings.SplitSeq(a.marks, marksSeparator) {
		if !strings.Contains(former.Detail, mark) {
			return false
		}
	}
	return true
}
