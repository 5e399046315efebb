package auditstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/verdict"
)

// overruled is the folder of overrulings, {namespace}/overruled/{shard}/{epoch}-{number}.json. They
// are rare: a namespace without any costs one listing.
const overruled = "overruled"

const (
	maxOverrulingBytes = verdict.MaxBytes + 8<<10
	// MaxOverruled is how many overrulings of a namespace are read.
	MaxOverruled = 100_000
)

// PutOverruling records an overruling, once. ErrDiffers if another one of that number is on record:
// somebody else was quicker.
func (s *Store) PutOverruling(ctx context.Context, o verdict.Overruling) error {
	key, err := overrulingKey(o.Namespace, o.Epoch, o.Number)
	if err == nil {
		err = o.Validate()
	}
	if err != nil {
		return fmt.Errorf("overruling of epoch %d of %q: %w", o.Epoch, o.Namespace, err)
	}
	data, err := encodeLine(o)
	if err != nil {
		return err
	}
	return s.putSame(ctx, key, data, maxOverrulingBytes)
}

// Overruling returns the newest overruling of an epoch; ErrNotFound if it was never overruled.
func (s *Store) Overruling(ctx context.Context, namespace string, epoch uint64) (verdict.Overruling, error) {
	if err := verdict.CheckKey(namespace, epoch); err != nil {
		return verdict.Overruling{}, err
	}
	numbers, err := s.overrulings(ctx, namespace, epoch/verdict.EpochsPerShard)
	if err != nil {
		return verdict.Overruling{}, err
	}
	if numbers[epoch] == 0 {
		return verdict.Overruling{}, fmt.Errorf("overruling of epoch %d of %s: %w", epoch, namespace, ErrNotFound)
	}
	return s.readOverruling(ctx, namespace, epoch, numbers[epoch])
}

// OverrulingBytes returns the overrulings of an epoch as they are stored, the first one first; none
// if it was never overruled.
func (s *Store) OverrulingBytes(ctx context.Context, namespace string, epoch uint64) ([][]byte, error) {
	if err := verdict.CheckKey(namespace, epoch); err != nil {
		return nil, err
	}
	numbers, err := s.overrulings(ctx, namespace, epoch/verdict.EpochsPerShard)
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for number := uint64(1); number <= numbers[epoch]; number++ {
		key, err := overrulingKey(namespace, epoch, number)
		if err != nil {
			return nil, err
		}
		data, err := s.get(ctx, key, maxOverrulingBytes)
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

// Newest returns the verdict that counts, given the epoch's first: it, or that of the newest
// overruling.
func (s *Store) Newest(ctx context.Context, first verdict.Verdict) (verdict.Verdict, error) {
	o, err := s.Overruling(ctx, first.Namespace, first.Epoch)
	if errors.Is(err, ErrNotFound) {
		return first, nil
	}
	return o.Verdict, err
}

// NewestVerdict returns the verdict that counts on an epoch; ErrNotFound if it has none.
func (s *Store) NewestVerdict(ctx context.Context, namespace string, epoch uint64) (verdict.Verdict, error) {
	first, err := s.Verdict(ctx, namespace, epoch)
	if err != nil {
		return verdict.Verdict{}, err
	}
	return s.Newest(ctx, first)
}

// Overrulings returns the newest overruling of each epoch that has one, ascending.
func (s *Store) Overrulings(ctx context.Context, namespace string) ([]verdict.Overruling, error) {
	if err := verdict.CheckName("namespace", namespace); err != nil {
		return nil, err
	}
	shards, err := s.numbers(ctx, namespace+"/"+overruled+"/", "", func(name string) (uint64, bool) {
		name, isFolder := strings.CutSuffix(name, "/")
		shard, ok := verdict.ParseShardName(name)
		return shard, ok && isFolder
	})
	if err != nil {
		return nil, err
	}
	var all []verdict.Overruling
	for _, shard := range shards {
		numbers, err := s.overrulings(ctx, namespace, shard)
		if err != nil {
			return nil, err
		}
		if len(all)+len(numbers) > MaxOverruled {
			return nil, fmt.Errorf("%s has more than %d overruled epochs", namespace, MaxOverruled)
		}
		for epoch, number := range numbers {
			o, err := s.readOverruling(ctx, namespace, epoch, number)
			if err != nil {
				return nil, err
			}
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b verdict.Overruling) int { return int(int64(a.Epoch) - int64(b.Epoch)) })
	return all, nil
}

// overrulings lists the overruled epochs of a shard, each with its newest number.
func (s *Store) overrulings(ctx context.Context, namespace string, shard uint64) (map[uint64]uint64, error) {
	newest := map[uint64]uint64{}
	for name, err := range s.objects.List(ctx, shardPrefix(namespace, overruled, shard), "") {
		if err != nil {
			return nil, err
		}
		name, isJSON := strings.CutSuffix(name, ".json")
		before, after, _ := strings.Cut(name, "-")
		epoch, isEpoch := verdict.ParseEpochName(before)
		number, isNumber := verdict.ParsePadded(after, 3)
		if isJSON && isEpoch && isNumber && epoch/verdict.EpochsPerShard == shard {
			newest[epoch] = max(newest[epoch], number)
		}
	}
	return newest, nil
}

func (s *Store) readOverruling(ctx context.Context, namespace string, epoch, number uint64) (verdict.Overruling, error) {
	key, err := overrulingKey(namespace, epoch, number)
	if err != nil {
		return verdict.Overruling{}, err
	}
	data, err := s.get(ctx, key, maxOverrulingBytes)
	if err != nil {
		return verdict.Overruling{}, err
	}
	var o verdict.Overruling
	err = decodeLine(key, data, &o, &o.Schema, func() error {
		if o.Namespace != namespace || o.Epoch != epoch || o.Number != number {
			return fmt.Errorf("overruling %d of epoch %d of %q", o.Number, o.Epoch, o.Namespace)
		}
		return o.Validate()
	})
	return o, err
}

func overrulingKey(namespace string, epoch, number uint64) (string, error) {
	key, err := epochKey(namespace, overruled, epoch)
	return fmt.Sprintf("%s-%03d.json", key, number), err
}
