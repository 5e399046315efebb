package schedule

import (
	"context"
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
		_, why := q.redis.LastAttempt(q.namespace, epoch)
		if why != nil && strings.HasPrefix(why.Error(), signature.ErrUnknownKey.Error()) {
			return keyless{epoch, why}
		}
	}
	return keyless{}
}

// alertOnUnknownKeys raises one alert when epochs, recent ones or those of history, wait for a key
// that is not configured. It names the lowest of them, once there were some in two rounds running:
// when many are tried for the first time, replicas may see other ones fail first. It resolves it
// when none waits any more and the epoch that it names has a verdict.
func (f *follower) alertOnUnknownKeys(ctx context.Context, now time.Time, published []uint64, open []alert.Alert) error {
	lowest := f.queue.lowestKeyless(published)
	if history := f.progress.keylessHistory(); history.epoch != 0 {
		lowest = history // all of it comes before what is recent
	}
	were := f.wereKeyless
	f.wereKeyless = lowest.epoch != 0
	_, historyKnown := f.progress.historyResult()
	for _, a := range open {
		if a.Kind != alert.UnknownKey {
			continue
		}
		if lowest.epoch != 0 || !historyKnown {
			return nil // one alert stands for all
		}
		if unjudged, err := f.isUnjudged(ctx, a.Epoch); unjudged || err != nil {
			return err
		}
		if err := f.incidents.Resolve(ctx, a, now); err != nil {
			return err
		}
	}
	if lowest.epoch == 0 || !were {
		return nil
	}
	return f.incidents.Raise(ctx, alert.OfUnknownKey(f.config.Namespace, lowest.epoch, lowest.why))
}
