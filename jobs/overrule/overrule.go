package overrule

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/verdict"
)

// ErrUnjudged: the epoch has no verdict that could be overruled.
var ErrUnjudged = errors.New("has no verdict to overrule: have it audited by run or enqueue")

// Overrule audits an epoch that has a verdict anew with the auditor's present settings, and records
// what it finds as the verdict that counts from now on. An error means that nothing was recorded:
// ErrUnjudged, auditstore.ErrDiffers if somebody else overruled it at the same time, or that the
// epoch could not be judged now.
//
// Where the batch that was rejected is verified now, the incident of the rejection is acknowledged
// in the same name. A crash before that leaves it open, for somebody to acknowledge. Another batch
// in its place was the log's doing: the overruling counts, the incident stays open, and the error
// says so.
//
// A crash between alert and overruling leaves an alert on one that is not on record. Whoever
// repeats it raises the same incident, which is one alert still.
func Overrule(ctx context.Context, a *audit.Auditor, epoch uint64, by, reason string) (verdict.Overruling, error) {
	if err := verdict.CheckOverruling(by, reason); err != nil {
		return verdict.Overruling{}, err
	}
	first, object, err := a.Store.VerdictObject(ctx, a.Namespace, epoch)
	if errors.Is(err, auditstore.ErrNotFound) {
		err = fmt.Errorf("epoch %d %w", epoch, ErrUnjudged)
	}
	if err != nil {
		return verdict.Overruling{}, err
	}
	o := verdict.Overruling{
		Schema: verdict.Schema, Namespace: a.Namespace, Epoch: epoch, Number: 1, By: by, Reason: reason,
		Overruled: verdict.Overruled{Outcome: first.Outcome, Reason: first.Reason, SHA256: hex.EncodeToString(object[:])},
	}
	replaced := first
	before, err := a.Store.Overruling(ctx, a.Namespace, epoch)
	switch {
	case err == nil:
		replaced = before.Verdict
		o.Number = before.Number + 1
		o.Overruled.Outcome, o.Overruled.Reason = before.Verdict.Outcome, before.Verdict.Reason
	case !errors.Is(err, auditstore.ErrNotFound):
		return verdict.Overruling{}, err
	}
	incidents := incident.Recorder{Store: a.Store, Metrics: a.Metrics, Log: a.Log}
	err = a.JudgeAnew(ctx, epoch, func(ctx context.Context, found verdict.Verdict) error {
		o.Verdict, o.At = found, time.Now().UTC()
		if err := o.Validate(); err != nil {
			return err
		}
		if err := incidents.Raise(ctx, alertOn(o)); err != nil {
			return err
		}
		return a.Store.PutOverruling(ctx, o)
	})
	if err != nil || o.Overruled.Outcome != verdict.Rejected || o.Verdict.Outcome != verdict.Verified {
		return o, err
	}
	if !isSameBatch(replaced, o.Verdict) {
		return o, fmt.Errorf("epoch %d is overruled, but the log publishes another batch now than was rejected, so the mistake may not have been yours: "+
			"the incident of the rejection stays open (use ktaudit incidents): sha256 %s was %s, now it is %s",
			epoch, replaced.Batch.SHA256, replaced.Reason, o.Verdict.Batch.SHA256)
	}
	_, _, err = incidents.Acknowledge(ctx, incident.Acknowledgement{
		Namespace: o.Namespace, Incident: alert.VerdictIncident(replaced), By: by, Reason: "overruled: " + reason, At: o.At,
	})
	if err != nil && !errors.Is(err, incident.ErrNotOpen) {
		return o, fmt.Errorf("epoch %d is overruled, but its rejection is not acknowledged (use ktaudit incidents ack): %w", epoch, err)
	}
	return o, nil
}

// isSameBatch reports whether two verdicts are on one batch. Of one that was too large only the
// name is known; of names that contradict each other nothing.
func isSameBatch(a, b verdict.Verdict) bool {
	sameName := a.PreviousDigest == b.PreviousDigest && a.Digest == b.Digest
	return sameName && (a.Reason == verdict.BatchTooLarge || a.Batch.SHA256 != "" && a.Batch.SHA256 == b.Batch.SHA256)
}

// alertOn is the alert on a verdict that an operator had replaced.
func alertOn(o verdict.Overruling) alert.Alert {
	describe := func(outcome string, reason verdict.Reason) string {
		if reason != "" {
			return fmt.Sprintf("%s (%s)", outcome, reason)
		}
		return outcome
	}
	return alert.Alert{
		Kind: alert.Overruled, Namespace: o.Namespace, Epoch: o.Epoch, Reason: string(o.Verdict.Reason),
		Incident: alert.OverruledIncident(o.Epoch, o.Number),
		Summary: fmt.Sprintf("%s overruled the verdict on epoch %d of %s: it was %s, and is %s now", o.By, o.Epoch, o.Namespace,
			describe(o.Overruled.Outcome, o.Overruled.Reason), describe(o.Verdict.Outcome, o.Verdict.Reason)),
		Detail: "Reason given: " + o.Reason,
	}
}
