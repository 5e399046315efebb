package alert

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/verdict"
)

// OfVerdict is the alert on a rejected verdict. Raise it before the verdict is written (see the
// package comment).
func OfVerdict(v verdict.Verdict) Alert {
	a := Alert{
		Kind: Rejected, Namespace: v.Namespace, Incident: VerdictIncident(v.Epoch, v.Reason), Epoch: v.Epoch,
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
// record. Where it found another batch than the one on record, it is the incident of an
// equivocation, as that of a verdict which says so.
func OfContradiction(recorded, found verdict.Verdict) Alert {
	describe := func(v verdict.Verdict) string {
		if v.Reason != "" {
			return fmt.Sprintf("%s (%s), digest %s", v.Outcome, v.Reason, v.Digest)
		}
		return fmt.Sprintf("%s, digest %s", v.Outcome, v.Digest)
	}
	detail := fmt.Sprintf("on record: %s\nfound now: %s", describe(recorded), describe(found))
	another := found.Digest != recorded.Digest || found.PreviousDigest != recorded.PreviousDigest
	if found.Reason == verdict.Equivocation || another && found.Digest != "" && recorded.Digest != "" {
		return OfDoubleName(recorded.Namespace, recorded.Epoch, detail+"\n"+found.Detail)
	}
	return Alert{
		Kind: Contradiction, Namespace: recorded.Namespace, Epoch: recorded.Epoch, Reason: string(found.Reason),
		Incident: incidentOf(Contradiction, recorded.Epoch),
		Summary:  fmt.Sprintf("epoch %d of %s: a later look contradicts the verdict on record", recorded.Epoch, recorded.Namespace),
		Detail:   detail,
	}
}

// OfBrokenChain is the alert on an epoch whose verdict does not fit another epoch's: its previous
// digest is not the digest before it, or its digest was there already. The detail says which.
func OfBrokenChain(namespace string, epoch uint64, reason, detail string) Alert {
	return Alert{
		Kind: Contradiction, Namespace: namespace, Epoch: epoch, Reason: reason,
		Incident: BrokenChainIncident(epoch),
		Summary:  fmt.Sprintf("epoch %d of %s does not fit the epochs around it", epoch, namespace),
		Detail:   detail,
	}
}

// OfDoubleName is the alert on an epoch that has several batches by its names. It is the same
// incident as that of a verdict which says so.
func OfDoubleName(namespace string, epoch uint64, detail string) Alert {
	return Alert{
		Kind: Equivocation, Namespace: namespace, Epoch: epoch, Reason: string(verdict.Equivocation), Detail: detail,
		Incident: DoubleNameIncident(epoch),
		Summary:  fmt.Sprintf("%s published more than one batch for epoch %d", namespace, epoch),
	}
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
		Summary:  fmt.Sprintf("sealed history of %s, epochs %d to %d, is not what it was", namespace, first, last),
		Detail:   detail,
	}
}

// OfHistoryMismatch is the alert on a history, the sum of all seals, that cannot be read.
func OfHistoryMismatch(namespace string, generation uint64, detail string) Alert {
	return Alert{
		Kind: SealedMismatch, Namespace: namespace,
		Incident: fmt.Sprintf("%s/history-%012d", SealedMismatch, generation),
		Summary:  fmt.Sprintf("the record of what is sealed of %s cannot be read, and is made anew", namespace),
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

// OfCanary is the alert on a proof that ktaudit damaged, and verified all the same. The epoch is 0
// if the proof was built in.
func OfCanary(namespace string, epoch uint64, software string, broken error) Alert {
	return Alert{
		Kind: Canary, Namespace: namespace, Incident: incidentOf(Canary, epoch), Epoch: epoch, Detail: software + ": " + broken.Error(),
		Summary: "a worker of " + namespace + " verified a proof that it had damaged itself, and judges no more",
	}
}

// OfOverruled is the alert on a verdict that an operator had replaced.
func OfOverruled(o verdict.Overruling) Alert {
	describe := func(outcome string, reason verdict.Reason) string {
		if reason != "" {
			return fmt.Sprintf("%s (%s)", outcome, reason)
		}
		return outcome
	}
	return Alert{
		Kind: Overruled, Namespace: o.Namespace, Epoch: o.Epoch, Reason: string(o.Verdict.Reason),
		Incident: OverruledIncident(o.Epoch, o.Number),
		Summary: fmt.Sprintf("%s overruled the verdict on epoch %d of %s: it was %s, and is %s now", o.By, o.Epoch, o.Namespace,
			describe(o.Overruled.Outcome, o.Overruled.Reason), describe(o.Verdict.Outcome, o.Verdict.Reason)),
		Detail: "Reason given: " + o.Reason,
	}
}

// OverruledIncident is the incident of OfOverruled.
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

// OfKeyOverdue is the alert on an OfUnknownKey that lasts for too long: nobody audits the log.
func OfKeyOverdue(a Alert) Alert {
	a.Kind, a.Incident = KeyOverdue, incidentOf(KeyOverdue, a.Epoch)
	a.Summary = fmt.Sprintf("nothing is audited since %s: %s", a.At.UTC().Format(time.RFC3339), a.Summary)
	return a
}

// OfStoreUnwritable is the alert on an audit store that could not be written since some time. It is
// named for the hour, so that it is the same one whoever notices it.
func OfStoreUnwritable(namespace string, since time.Time, last error) Alert {
	return Alert{
		Kind: StoreUnwritable, Namespace: namespace, At: since.UTC(), Detail: last.Error(),
		Incident: fmt.Sprintf("%s/%s", StoreUnwritable, since.UTC().Format("2006-01-02t15")),
		Summary:  "the audit store has not taken a write since " + since.UTC().Format(time.RFC3339) + ": no verdict on " + namespace + " is recorded, and no other alert is sent",
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
func VerdictIncident(epoch uint64, reason verdict.Reason) string {
	if reason == verdict.Equivocation {
		return incidentOf(Equivocation, epoch)
	}
	return incidentOf(Rejected, epoch)
}

// BrokenChainIncident is the incident of OfBrokenChain.
func BrokenChainIncident(epoch uint64) string { return incidentOf(Contradiction, epoch) + "/chain" }

// DoubleNameIncident is the incident of OfDoubleName.
func DoubleNameIncident(epoch uint64) string { return incidentOf(Equivocation, epoch) }

// SkippedIncident is the incident of OfSkipped, for Resolve.
func SkippedIncident(epoch uint64) string { return incidentOf(Skipped, epoch) }

// SilentIncident is the incident of OfSilent, for Resolve.
func SilentIncident(last uint64) string { return incidentOf(Silent, last) }

func incidentOf(k Kind, epoch uint64) string { return fmt.Sprintf("%s/%012d", k, epoch) }
