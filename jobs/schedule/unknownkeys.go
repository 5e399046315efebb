package schedule

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/signature"
)

// keylessLooks is how many of the lowest epochs of a backfill are asked about. What comes after
// them is asked about once they are judged.
const keylessLooks = 8

// keyless is an epoch that waits because it is signed with a key that workers do not trust, and
// what they said of it.
type keyless struct {
	epoch uint64 // 0: there is none
	why   error
}

// lowestKeyless returns the first of the epochs, ascending, that waits for a key, as far as the
// queue knows.
func (q jobQueue) lowestKeyless(epochs []uint64) keyless {
	for _, epoch := range epochs {
		_, why := q.LastAttempt(q.namespace, epoch)
		if why != nil && strings.HasPrefix(why.Error(), signature.ErrUnknownKey.Error()) {
			return keyless{epoch, why}
		}
	}
	return keyless{}
}

// alertOnUnknownKeys raises one alert when epochs, recent ones or those of history, wait for a key
// that is not configured. It names the lowest of them, once there were some in two rounds running:
// when many are tried for the first time, replicas may see other ones fail first. It raises one
// that is critical once that has lasted too long. It resolves them when none waits any more and the
// epoch that they name has a verdict.
func (f *follower) alertOnUnknownKeys(ctx context.Context, now time.Time, published []uint64, open []alert.Alert) error {
	lowest := f.queue.lowestKeyless(published)
	if history := f.progress.keylessHistory(); history.epoch != 0 {
		lowest = history // all of it comes before what is recent
	}
	were := f.wereKeyless
	f.wereKeyless = lowest.epoch != 0
	_, historyKnown := f.progress.historyTrouble(now, f.config.Poll)
	var standing *alert.Alert // one alert stands for all
	for _, a := range open {
		if a.Kind != alert.UnknownKey && a.Kind != alert.KeyOverdue {
			continue
		}
		lasts := lowest.epoch != 0 || !historyKnown
		if !lasts {
			var err error
			if lasts, err = f.isUnjudged(ctx, a.Epoch); err != nil {
				return err
			}
		}
		switch {
		case !lasts:
			if err := f.incidents.Resolve(ctx, a, now); err != nil {
				return err
			}
		case a.Kind == alert.UnknownKey:
			standing = &a
		}
	}
	switch {
	case standing != nil && (lowest.epoch != 0 || historyKnown):
		return f.alertOnOverdueKey(ctx, now, *standing, lowest, open)
	case standing != nil || lowest.epoch == 0 || !were:
		return nil
	}
	return f.incidents.Raise(ctx, alert.OfUnknownKey(f.config.Namespace, lowest.epoch, lowest.why))
}

// alertOnOverdueKey raises an alert when epochs have been waiting for a key for too long: since the
// alert on that was raised, which replicas and restarts agree on.
func (f *follower) alertOnOverdueKey(ctx context.Context, now time.Time, standing alert.Alert, lowest keyless, open []alert.Alert) error {
	first, newest := cmp.Or(lowest.epoch, standing.Epoch), f.progress.published()
	tooLong := f.config.KeyOverdueAfter > 0 && now.Sub(standing.At) > f.config.KeyOverdueAfter
	tooMany := f.config.KeyOverdueEpochs > 0 && newest >= first && newest-first >= f.config.KeyOverdueEpochs
	isRaised := func(a alert.Alert) bool { return a.Kind == alert.KeyOverdue }
	if !tooLong && !tooMany || slices.ContainsFunc(open, isRaised) {
		return nil
	}
	return f.incidents.Raise(ctx, keyOverdue(standing))
}

// keyOverdue is the alert on an OfUnknownKey that lasts for too long: nobody audits the log.
func keyOverdue(a alert.Alert) alert.Alert {
	a.Kind, a.Incident = alert.KeyOverdue, fmt.Sprintf("%s/%012d", alert.KeyOverdue, a.Epoch)
	a.Summary = fmt.Sprintf("nothing is audited since %s: %s", a.At.UTC().Format(time.RFC3339), a.Summary)
	return a
}
