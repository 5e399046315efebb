package crosscheck

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/verdict"
)

// conditions begins and ends the alerts on what may pass of an auditor. One of a kind lasts at a
// time, whichever scheduler found it.
func (r *round) conditions(ctx context.Context, newest uint64) error {
	lasting, err := r.Incidents.Outbox().Unresolved(ctx, r.Namespace, r.notices)
	if err != nil && !errors.Is(err, auditstore.ErrCorrupt) {
		return err
	}
	errs := []error{err}
	open := map[alert.Kind][]alert.Alert{}
	for _, a := range lasting {
		if strings.HasSuffix(a.Incident, "/"+r.id) {
			open[a.Kind] = append(open[a.Kind], a)
		}
	}
	lag, err := r.lag(ctx, newest)
	errs = append(errs, err)
	for _, c := range []struct {
		kind  alert.Kind
		found *alert.Alert // nil: it is not so
		ended bool         // that is known
	}{
		{alert.AuditorKeyUnknown, r.unknownKey(), r.trusted > 0 && r.unknown == 0},
		{alert.AuditorLag, lag, err == nil && r.trusted > 0 && !r.behind},
		{alert.AuditorSilent, r.silence(), r.answers > 0 && (r.trusted > 0 || r.unknown > 0 || r.lagIsWatched())},
		{alert.AuditorWentBack, r.wentBack(), r.answers > 0 && r.verified > 0 && r.backward == 0},
	} {
		switch {
		case c.found != nil && len(open[c.kind]) == 0:
			errs = append(errs, r.Incidents.Raise(ctx, *c.found))
		case c.found == nil && c.ended:
			for _, a := range open[c.kind] {
				if a.Kind == alert.AuditorWentBack && r.verified < a.Epoch {
					continue // this process only did not see that it was further
				}
				errs = append(errs, r.Incidents.Resolve(ctx, a, r.now))
			}
		}
	}
	return errors.Join(errs...)
}

func (r *round) alert(kind alert.Kind, at string, epoch uint64, since time.Time, summary, detail string) *alert.Alert {
	return &alert.Alert{
		Kind: kind, Namespace: r.Namespace, Incident: fmt.Sprintf("%s/%s/%s", kind, at, r.id), Epoch: epoch, At: since,
		Summary: r.Client.URL() + summary, Detail: detail,
	}
}

func (r *round) unknownKey() *alert.Alert {
	if r.unknown == 0 {
		return nil
	}
	return r.alert(alert.AuditorKeyUnknown, verdict.EpochName(r.unknown), r.unknown, r.now,
		fmt.Sprintf(" signed epoch %d of %s with a key that is not pinned here", r.unknown, r.Namespace), r.keyError.Error())
}

// silence is named for the hour of the last answer: an auditor may fall silent again.
func (r *round) silence() *alert.Alert {
	since, what, detail := r.answered, "answer on %s that can be read", r.lastFault
	if r.hasNothing() && r.signed.Before(since) {
		since, what, detail = r.signed, "digest of %s that it signed", "it answers that it has none: is this the log's name there?"
	}
	if !r.isSilent(since) {
		return nil
	}
	return r.alert(alert.AuditorSilent, since.UTC().Format("2006010215"), 0, since,
		fmt.Sprintf(" has given no "+what+" since %s", r.Namespace, since.UTC().Format(time.RFC3339)), detail)
}

func (r *round) isSilent(since time.Time) bool {
	return r.now.Sub(since) >= cmp.Or(r.MaxLag, SilentAfter)
}

// hasNothing reports whether an auditor has no signature for whatever it is asked, or not any more
// for what it signed before: so nothing is compared. Where its lag is watched, that tells of it.
func (r *round) hasNothing() bool {
	return r.trusted == 0 && r.unknown == 0 && (r.highest == 0 || r.withdrawn) && !r.lagIsWatched()
}

func (r *round) lagIsWatched() bool { return r.MaxLag > 0 || r.MaxLagEpochs > 0 }

func (r *round) wentBack() *alert.Alert {
	if r.backward < maxBack {
		return nil
	}
	return r.alert(alert.AuditorWentBack, verdict.EpochName(r.verified), r.verified, r.now,
		fmt.Sprintf(" said that it verified epoch %d of %s, and names an earlier one now", r.verified, r.Namespace), "")
}

// lag is the alert on an auditor that has not signed what has had a verdict here for too long.
func (r *round) lag(ctx context.Context, newest uint64) (*alert.Alert, error) {
	if !r.behind || r.isSilent(r.answered) || !r.lagIsWatched() {
		return nil, nil
	}
	epoch, since := newest, r.started
	if r.highest > 0 {
		var err error
		if epoch, since, err = r.firstUnsigned(ctx); err != nil || epoch == 0 {
			return nil, err
		}
	}
	missing := newest - r.highest
	if (r.MaxLag == 0 || r.now.Sub(since) < r.MaxLag) && (r.MaxLagEpochs == 0 || r.highest == 0 || missing <= r.MaxLagEpochs) {
		return nil, nil
	}
	return r.alert(alert.AuditorLag, verdict.EpochName(epoch), epoch, since,
		fmt.Sprintf(" has no signature that can be read for epoch %d of %s, which has had a verdict here since %s", epoch, r.Namespace, since.UTC().Format(time.RFC3339)),
		fmt.Sprintf("the last epoch that it signed, as far as is known here: %d; the newest verdict: %d", r.highest, newest)), nil
}

// firstUnsigned is the first epoch with a verdict that the auditor has not signed, and since when
// it has that; 0 if it was lost meanwhile.
func (r *round) firstUnsigned(ctx context.Context) (epoch uint64, since time.Time, err error) {
	for _, n := range r.judged {
		if n < (r.highest+1)/verdict.EpochsPerShard {
			continue
		}
		s, err := r.shard(ctx, n)
		if err != nil {
			return 0, since, err
		}
		for _, epoch := range s.judged {
			if epoch <= r.highest {
				continue
			}
			v, err := r.Store.Verdict(ctx, r.Namespace, epoch)
			if auditstore.IsLost(err) || auditstore.IsUnreadable(err) {
				continue
			}
			return epoch, v.FinishedAt, err
		}
	}
	return 0, since, nil
}
