package schedule

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/jobs/seal"
	"github.com/rs/zerolog"
)

const (
	// sealPeriod is how many periods of a log lie between two rounds that seal full shards, and
	// sealCheckPeriod how many rounds between two checks of one that is sealed, by chance. With the
	// usual period that is 5 minutes, and an hour.
	sealPeriod      = 10
	sealCheckPeriod = 12
	// sealTimeout bounds a round. What was sealed until then stays so.
	sealTimeout = time.Hour
)

// sealLoop seals a log's full shards, and now and then checks a sealed one against its verdicts.
type sealLoop struct {
	config   Config
	progress *progress
	log      zerolog.Logger
	sealer   *seal.Sealer
	walk     *report.HeadWalk
}

func newSealLoop(c Config, p *progress, log zerolog.Logger) *sealLoop {
	return &sealLoop{
		config: c, progress: p, log: log,
		sealer: &seal.Sealer{Store: c.Store, Namespace: c.Namespace, Log: log, Metrics: c.Metrics},
		walk:   report.NewHeadWalk(c.First, c.Anchor),
	}
}

// run seals in each period. Only an end of ctx ends it.
func (s *sealLoop) run(ctx context.Context) {
	period := s.config.Poll
	for round := 1; ; round++ {
		// Apart from other schedulers, who would read the same verdicts.
		if wait.For(ctx, period/2+rand.N(period)) != nil {
			return
		}
		period = sealPeriod * s.config.Poll
		work, cancel := context.WithTimeout(ctx, sealTimeout)
		end := observe.TracerOr(s.config.Tracer).Round(ctx, "seal", s.config.Namespace)
		err := s.seal(work)
		if round%sealCheckPeriod == 0 {
			err = errors.Join(err, s.sealer.CheckAny(work))
		}
		cancel()
		end(err)
		logFailure(ctx, s.log, err, "not all full shards were sealed; the next round tries again")
	}
}

// seal seals what is full and, for metrics, goes on with the walk to the last epoch up to which all
// are verified.
func (s *sealLoop) seal(ctx context.Context) error {
	newest := s.progress.published()
	if newest < s.config.First {
		return nil
	}
	_, err := s.sealer.Seal(ctx, s.config.First, newest)
	if s.config.Metrics == nil {
		return err
	}
	h, historyErr := report.ReadHistory(ctx, s.config.Store, s.config.Namespace)
	if historyErr == nil {
		historyErr = s.walk.Advance(ctx, s.config.Store, h)
		if head := s.walk.Head(); head > 0 {
			s.progress.setVerifiedUpTo(head)
		}
	}
	return errors.Join(err, historyErr)
}
