package witnessing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/transparency/witnesses"
	"golang.org/x/mod/sumdb/tlog"
)

// publish has the newest checkpoint cosigned, and mirrors the newest one that is witnessed. Without
// witnesses it mirrors the newest one.
//
// What is witnessed is put on record first: a crash before leaves a checkpoint that witnesses know
// and the store does not, of which the next round asks again. One after it leaves an older mirror.
func (l *Loop) publish(ctx context.Context, log *logState, now time.Time) error {
	if log.newest.N == 0 {
		log.complete = now
		return nil
	}
	if log.Witnesses == nil {
		log.complete, log.asked = now, now
		return mirror(ctx, log, log.newest)
	}
	witnessed, err := log.Log.Log.Witnessed(ctx)
	if errors.Is(err, transparency.ErrNoCheckpoint) {
		witnessed, err = transparency.Checkpoint{}, nil
	}
	if err != nil {
		return err
	}
	if witnessed.N > 0 && witnessed.Verify(log.Witnessed) != nil {
		// As if there were none: its cosignatures were changed, or other witnesses are configured.
		log.lacking, witnessed = witnessed, transparency.Checkpoint{}
	}
	var errs []error
	if isNew := witnessed.Generation < log.newest.Generation; isNew || len(log.ahead) > 0 || now.Sub(log.asked) >= askAgain {
		base := log.newest
		if !isNew {
			base = witnessed
		}
		// Whatever witnesses say, and whether it can be put on record, what enough of them have
		// cosigned is mirrored: one witness must not hold up the log.
		if witnessed, err = l.ask(ctx, log, base, witnessed); err == nil {
			log.asked = now
		}
		errs = append(errs, err)
	}
	log.witnessed = witnessed.N
	if witnessed.N == log.newest.N {
		log.complete = now
	}
	if witnessed.N > 0 {
		errs = append(errs, mirror(ctx, log, witnessed))
	}
	return errors.Join(errs...)
}

// mirror mirrors a checkpoint. Others may do so at the same moment, which a local disk reports as
// an error: what is there then decides whether there is anything left to do.
func mirror(ctx context.Context, log *logState, c transparency.Checkpoint) error {
	err := log.Publish(ctx, c)
	for attempt := 1; err != nil && ctx.Err() == nil && attempt < mirrorAttempts; attempt++ {
		err = log.Publish(ctx, c)
	}
	return err
}

const mirrorAttempts = 5

// ask has all witnesses cosign base, and records it once enough have. It returns the newest
// witnessed checkpoint.
func (l *Loop) ask(ctx context.Context, log *logState, base, witnessed transparency.Checkpoint) (transparency.Checkpoint, error) {
	note, answers := Ask(ctx, log.Log, base)
	log.answers = answers
	for _, a := range answers {
		observe.MetricsOr(l.Metrics).WitnessAnswered(l.Namespace, text.HostID(a.URL), resultOf(a))
	}
	var errs []error
	if log.Witnesses.Met(note) {
		base.Note = note
		put := log.PutWitnessed
		if base.Generation == log.lacking.Generation && base.Tree == log.lacking.Tree {
			put = log.RenewWitnessed
		}
		if err := put(ctx, base); err != nil {
			errs = append(errs, err)
		} else {
			witnessed, log.lacking = base, transparency.Checkpoint{}
		}
	}
	disagreements, err := l.disagreements(ctx, log, base, answers)
	errs = append(errs, err)
	for _, d := range disagreements {
		errs = append(errs, RaiseDisagreement(ctx, l.Incidents, l.Namespace, log.Log.Log, d))
	}
	return witnessed, errors.Join(errs...)
}

// Ask has all witnesses of a log cosign a checkpoint. It returns the checkpoint with the
// cosignatures that came, and what each witness said.
func Ask(ctx context.Context, log Log, c transparency.Checkpoint) (note []byte, answers []witnesses.Answer) {
	answers = log.Witnesses.Ask(ctx, c.Note, c.Tree, func(old int64) (tlog.TreeProof, error) {
		return log.Consistency(ctx, c.Tree, old)
	})
	return log.Witnesses.Assemble(c.Note, answers), answers
}

// IsDisagreement reports whether a witness's answer says that it knows another log.
func IsDisagreement(err error) bool {
	_, isAhead := errors.AsType[*witnesses.AheadError](err)
	_, isOther := errors.AsType[*witnesses.OtherHistoryError](err)
	return isAhead || isOther
}

// resultOf is a witness's answer in one word, for metrics.
func resultOf(a witnesses.Answer) string {
	switch {
	case a.Err == nil:
		return "cosigned"
	case IsDisagreement(a.Err):
		return "disagrees"
	case errors.Is(a.Err, witnesses.ErrUnknownOrigin) || errors.Is(a.Err, witnesses.ErrNotSigned):
		return "refused"
	}
	return "failed"
}

// disagreements are the answers of witnesses that know another history, and of those that have
// named a larger tree than the store has for two rounds: another scheduler may be quicker once.
func (l *Loop) disagreements(ctx context.Context, log *logState, c transparency.Checkpoint, answers []witnesses.Answer) (all []Disagreement, err error) {
	all, ahead, err := Disagreements(ctx, log.Log, c, answers)
	if err != nil {
		return nil, err
	}
	before := log.ahead
	log.ahead = map[string]int64{}
	for _, d := range ahead {
		log.ahead[d.Witness] = d.Size
		if before[d.Witness] > 0 {
			all = append(all, d)
		}
	}
	return all, nil
}

// Disagreements are the answers, to a checkpoint, of witnesses that know another history; and,
// apart, of those that know a larger tree than the newest one on record now.
func Disagreements(ctx context.Context, log Log, c transparency.Checkpoint, answers []witnesses.Answer) (other, ahead []Disagreement, err error) {
	for _, a := range answers {
		d := Disagreement{Log: string(log.Kind()), Witness: a.Name, URL: a.URL, Key: a.Key, Checkpoint: string(c.Note), Tree: c.Tree}
		if e, ok := errors.AsType[*witnesses.OtherHistoryError](a.Err); ok {
			d.Knows, d.Size = OtherHistory, e.Size
			if 0 < e.Size && e.Size < c.N {
				proof, err := log.Consistency(ctx, c.Tree, e.Size)
				if err != nil {
					return nil, nil, fmt.Errorf("proof for witness %s: %w", a.Name, err)
				}
				for _, h := range proof {
					d.Proof = append(d.Proof, h.String())
				}
			}
			other = append(other, d)
		} else if e, ok := errors.AsType[*witnesses.AheadError](a.Err); ok {
			newest, err := log.Newest(ctx)
			if err != nil {
				return nil, nil, err
			}
			if d.Knows, d.Size = LargerTree, e.Size; newest.N < e.Size {
				ahead = append(ahead, d)
			}
		}
	}
	return other, ahead, nil
}
