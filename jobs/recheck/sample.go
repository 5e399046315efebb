package recheck

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/jobs/begun"
	"github.com/ktaudit/ktaudit/verdict"
)

const (
	// sampleTask is what the parts of a day that had their sample are called in the audit store.
	sampleTask = "sample"
	// sampleSlot is such a part of a day.
	sampleSlot = time.Hour
	day        = 24 * time.Hour
	// maxSample bounds how many epochs are tried for one part.
	maxSample = 1000
)

// sampleState is what is known of the last part of a day that had its sample.
type sampleState struct {
	slot   time.Time
	queued []uint64 // those that are still to be put on the queue
}

// sampleNote is on record for the part of a day, by whoever took it.
type sampleNote struct {
	By     string `json:"by"` // a random word, by which it knows its own
	Epochs int    `json:"epochs"`
	// Bytes is how many stored bytes the samples of the day have so far.
	Bytes int64 `json:"bytes"`
}

// sample puts a part of the day's sample on the queue, once in each part of the day, whoever is
// first. Which epochs is chance, so that no log can know.
//
// They are on the queue after the part is on record as taken. A crash between the two costs that
// part of the sample.
func (l *Loop) sample(ctx context.Context, now time.Time) error {
	if l.config.SampleOneIn <= 0 {
		return nil
	}
	slot := now.UTC().Truncate(l.slot)
	if slot.After(l.sampled.slot) {
		epochs, err := l.takeSlot(ctx, slot)
		if err != nil {
			return fmt.Errorf("the sample of %s: %w", l.config.Namespace, err)
		}
		l.sampled = sampleState{slot, epochs}
	}
	if len(l.sampled.queued) == 0 {
		return nil
	}
	if err := l.config.Sample(ctx, l.sampled.queued); err != nil {
		return err
	}
	l.config.Logger.Info().Int("epochs", len(l.sampled.queued)).Msg("a sample of verified epochs is audited again")
	l.sampled.queued = nil
	return nil
}

// takeSlot chooses the epochs of a part of the day and takes it; none if somebody has.
func (l *Loop) takeSlot(ctx context.Context, slot time.Time) ([]uint64, error) {
	record := begun.Of(l.config.Store, l.config.Namespace, sampleTask)
	times, err := record.Times(ctx)
	if err != nil {
		return nil, err
	}
	note := sampleNote{By: rand.Text()}
	if n := len(times); n > 0 {
		last := times[n-1]
		if !last.Before(slot) {
			return nil, nil
		}
		if last.Truncate(day).Equal(slot.Truncate(day)) {
			recorded, err := record.Put(ctx, last, nil)
			if err != nil {
				return nil, err
			}
			var before sampleNote
			if json.Unmarshal(recorded, &before) == nil {
				note.Bytes = max(before.Bytes, 0)
			}
		}
	}
	share := float64(slot.Sub(slot.Truncate(day))+l.slot) / float64(day)
	epochs, stored, err := l.choose(ctx, int64(share*float64(l.config.SampleBytes))-note.Bytes)
	if err != nil {
		return nil, err
	}
	note.Epochs, note.Bytes = len(epochs), note.Bytes+stored
	data, err := json.Marshal(note)
	if err != nil {
		return nil, err
	}
	recorded, err := record.Put(ctx, slot, data)
	if err != nil || !bytes.Equal(recorded, data) {
		return nil, err
	}
	for _, before := range times {
		if err := record.Remove(ctx, before); err != nil {
			return epochs, err
		}
	}
	return epochs, nil
}

// choose chooses verified epochs by chance, each with the same, as many as are due in a part of the
// day, and returns them with their stored bytes, of which there are at most so many. Places of
// shards are drawn until there are enough, so that nothing needs counting.
func (l *Loop) choose(ctx context.Context, most int64) (epochs []uint64, stored int64, err error) {
	shards, err := l.config.Store.Shards(ctx, l.config.Namespace, 0, verdict.MaxEpoch/verdict.EpochsPerShard)
	if err != nil || len(shards) == 0 {
		return nil, 0, err
	}
	places := float64(len(shards)) * verdict.EpochsPerShard
	tries := roundByChance(places / float64(l.config.SampleOneIn) * float64(l.slot) / float64(day))
	seen := map[uint64]bool{}
	for range min(tries, maxSample) {
		epoch := shards[mathrand.IntN(len(shards))]*verdict.EpochsPerShard + mathrand.N(uint64(verdict.EpochsPerShard))
		if seen[epoch] {
			continue
		}
		seen[epoch] = true
		v, err := l.config.Store.Verdict(ctx, l.config.Namespace, epoch)
		if auditstore.IsLost(err) || errors.Is(err, verdict.ErrNewerSchema) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		if v.Outcome == verdict.Verified && v.Batch.StoredBytes <= most-stored {
			epochs, stored = append(epochs, epoch), stored+v.Batch.StoredBytes
		}
	}
	return epochs, stored, nil
}
