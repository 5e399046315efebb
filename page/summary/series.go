package summary

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
)

// Point sums up numbers of the first verdicts on some epochs.
type Point struct {
	From        uint64    `json:"from"`
	To          uint64    `json:"to"`
	Epochs      uint64    `json:"epochs"` // that have a verdict and were read
	Inserted    uint64    `json:"inserted"`
	Bytes       uint64    `json:"bytes"`        // of batches, after decompression
	StoredBytes uint64    `json:"stored_bytes"` // as published
	MaxBytes    uint64    `json:"max_bytes"`
	FirstAt     time.Time `json:"first_at"` // when the first and the last were judged
	LastAt      time.Time `json:"last_at"`
}

func (p *Point) add(v verdict.Verdict) {
	at := v.FinishedAt.UTC()
	p.join(Point{
		v.Epoch, v.Epoch, 1, uint64(max(v.Inserted, 0)), uint64(max(v.Batch.Bytes, 0)), uint64(max(v.Batch.StoredBytes, 0)),
		uint64(max(v.Batch.Bytes, 0)), at, at,
	})
}

// join takes in another point.
func (p *Point) join(o Point) {
	if p.Epochs == 0 {
		*p = o
		return
	}
	if o.Epochs == 0 {
		return
	}
	p.From, p.To, p.Epochs = min(p.From, o.From), max(p.To, o.To), p.Epochs+o.Epochs
	p.Inserted, p.Bytes, p.StoredBytes = p.Inserted+o.Inserted, p.Bytes+o.Bytes, p.StoredBytes+o.StoredBytes
	p.MaxBytes = max(p.MaxBytes, o.MaxBytes)
	if o.FirstAt.Before(p.FirstAt) {
		p.FirstAt = o.FirstAt
	}
	if o.LastAt.After(p.LastAt) {
		p.LastAt = o.LastAt
	}
}

// Buckets joins points, ascending, so that there are at most n.
func Buckets(points []Point, n int) []Point {
	size := max((len(points)+n-1)/max(n, 1), 1)
	var joined []Point
	for some := range slices.Chunk(points, size) {
		var p Point
		for _, one := range some {
			p.join(one)
		}
		joined = append(joined, p)
	}
	return joined
}

// stored is the object that keeps a point of a shard whose every epoch has a verdict:
//
//	{namespace}/page/{shard, 9 digits}.json
//
// It follows from the first verdicts alone, which never change, so that whoever writes it writes
// the same, and a restart need not read millions of verdicts. It is no record of anything: it may
// be removed, and is made again.
type stored struct {
	Schema    int    `json:"schema"`
	Namespace string `json:"namespace"`
	Shard     uint64 `json:"shard"`
	Point
}

// series reads the points of shards that are sealed, the newest first.
type series struct {
	store     *auditstore.Store
	namespace string
	points    map[uint64]Point // by shard
	onRecord  map[uint64]bool  // shards with an object; nil: they were not listed yet
	without   map[uint64]bool  // shards whose verdicts cannot all be read
	shard     uint64           // that is being read
	point     Point            // of it, so far
}

func newSeries(store *auditstore.Store, namespace string) *series {
	return &series{store: store, namespace: namespace, points: map[uint64]Point{}, without: map[uint64]bool{}}
}

func (s *series) folder() auditstore.Folder { return s.store.Folder(s.namespace, "page") }

// fill goes on for a number of requests, and two listings the first time.
func (s *series) fill(ctx context.Context, h verdict.History, requests int) error {
	if s.onRecord == nil {
		if err := s.list(ctx); err != nil {
			return err
		}
	}
	for _, span := range slices.Backward(h.Spans) {
		for shard := span.Last(); ; shard-- {
			if _, known := s.points[shard]; !known && !s.without[shard] {
				if requests <= 0 {
					return nil
				}
				used, err := s.read(ctx, shard, requests)
				if err != nil {
					return err
				}
				requests -= used
			}
			if shard == span.First() {
				break
			}
		}
	}
	return nil
}

func (s *series) list(ctx context.Context) error {
	found := map[uint64]bool{}
	for name, err := range s.folder().Names(ctx, "") {
		if err != nil {
			return err
		}
		name, isJSON := strings.CutSuffix(name, ".json")
		if shard, ok := verdict.ParseShardName(name); ok && isJSON {
			found[shard] = true
		}
	}
	s.onRecord = found
	return nil
}

// read goes on with a shard: its object, or some of its verdicts.
func (s *series) read(ctx context.Context, shard uint64, requests int) (used int, err error) {
	if s.onRecord[shard] {
		p, err := s.get(ctx, shard)
		if auditstore.IsLost(err) {
			delete(s.onRecord, shard) // it is made again in memory
			return 1, nil
		}
		if err == nil {
			s.points[shard] = p
		}
		return 1, err
	}
	from, to := verdict.ShardRange(shard)
	if s.shard != shard || s.point.Epochs == 0 {
		s.shard, s.point = shard, Point{}
	}
	var epochs []uint64
	for epoch := from + s.point.Epochs; epoch <= to && len(epochs) < requests; epoch++ {
		epochs = append(epochs, epoch)
	}
	verdicts, err := report.ReadReadable(ctx, s.store, s.namespace, epochs)
	if err != nil {
		return len(epochs), err
	}
	if len(verdicts) < len(epochs) {
		s.without[shard] = true
		return len(epochs), nil
	}
	for _, epoch := range epochs {
		s.point.add(verdicts[epoch])
	}
	if s.point.Epochs < to-from+1 {
		return len(epochs), nil
	}
	return len(epochs) + 1, s.put(ctx, shard, s.point)
}

// put keeps the point of a whole shard.
func (s *series) put(ctx context.Context, shard uint64, p Point) error {
	data, err := json.Marshal(stored{1, s.namespace, shard, p})
	if err != nil {
		return err
	}
	// Whatever is on record already, what was read here counts here.
	if _, err := s.folder().Put(ctx, append(data, '\n'), verdict.ShardName(shard)); err != nil && !auditstore.IsLost(err) {
		return err
	}
	s.points[shard] = p
	return nil
}

func (s *series) get(ctx context.Context, shard uint64) (Point, error) {
	data, err := s.folder().Get(ctx, verdict.ShardName(shard))
	if err != nil {
		return Point{}, err
	}
	var o stored
	err = json.Unmarshal(data, &o)
	from, to := verdict.ShardRange(shard)
	switch {
	case err != nil:
	case o.Schema != 1:
		err = fmt.Errorf("schema %d", o.Schema)
	case o.Namespace != s.namespace || o.Shard != shard || o.From != from || o.To != to || o.Epochs != to-from+1:
		err = fmt.Errorf("numbers of epochs %d to %d of %.80q", o.From, o.To, o.Namespace)
	case o.MaxBytes > o.Bytes || o.Bytes > maxShardBytes || o.Inserted > maxShardBytes || o.StoredBytes > maxShardBytes:
		err = errors.New("a number out of range")
	}
	if err != nil {
		return Point{}, fmt.Errorf("page/%s of %s: %w: %w", verdict.ShardName(shard), s.namespace, auditstore.ErrCorrupt, err)
	}
	return o.Point, nil
}

// maxShardBytes is more than a thousand batches have: a petabyte.
const maxShardBytes = 1 << 50
