package summary

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/jobs/crosscheck"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// What a round may cost. With Every it bounds the requests of a minute; MaxRequests is the sum.
const (
	// Every is the time between two rounds.
	Every = 10 * time.Second
	// seldom is how often what changes seldom is read.
	seldom = time.Minute
	// verdictsPerRound are verdicts that are read because they are new, or because nobody seals
	// them: so many that a shard takes a round. numbersPerRound are requests for the numbers over
	// time of what is sealed.
	verdictsPerRound, numbersPerRound = 1000, 50
	// shardsPerRound are listings of shards that are not sealed, beside the newest two.
	shardsPerRound = 2
	// detailsPerRound are incidents whose detail is read, and maxDetails those that have one.
	detailsPerRound, maxDetails = 3, 30
	// maxNewest is how many of the newest epochs are listed.
	maxNewest = 30
	// MaxRequests is how many requests the summary of a log takes in any minute, at most: verdicts,
	// numbers, and some 30 in each round for all else. Where epochs were overruled, or thousands of
	// incidents are open, reading these takes more, and is done less often in turn.
	MaxRequests = 6*(verdictsPerRound+numbersPerRound+30) + 100
)

// Reader makes summaries of a log, and remembers what it read. One goroutine at a time may use it.
type Reader struct {
	log   Log
	store *auditstore.Store
	next  map[string]time.Time // when what is read seldom is read again

	history    verdict.History
	overruled  report.Overruled
	cuts       map[uint64]verdict.Verdict // beside overruled epochs
	chain      *report.ChainStatus
	open       incident.List
	details    map[string]incident.Details
	shards     map[uint64]*openShard // with verdicts, and not sealed
	listed     map[uint64][]uint64   // epochs with a verdict of these, as last listed
	turn       int                   // whose listing comes next
	newest     map[uint64]verdict.Verdict
	unreadable map[uint64]time.Time // verdicts that cannot be read, and when to try again
	series     *series
	head       verdict.Verdict
	signed     []epochset.Range
	tlog       Witnessed
	auditors   []AuditorState
}

// NewReader returns a reader that has read nothing yet.
func NewReader(store *auditstore.Store, log Log) *Reader {
	return &Reader{
		log: log, store: store, next: map[string]time.Time{}, details: map[string]incident.Details{}, cuts: map[uint64]verdict.Verdict{}, shards: map[uint64]*openShard{},
		listed: map[uint64][]uint64{}, newest: map[uint64]verdict.Verdict{}, unreadable: map[uint64]time.Time{},
		series: newSeries(store, log.Name),
	}
}

// Round reads what may have changed, and returns what is known then. After an error the next round
// reads it anew.
func (r *Reader) Round(ctx context.Context, now time.Time) (*Summary, error) {
	for _, step := range []struct {
		name  string
		every time.Duration // 0: each round
		do    func(context.Context, time.Time) error
	}{
		{"history", seldom, r.readHistory},
		{"overruled", seldom, r.readOverruled},
		{"names", seldom, r.readChain},
		{"shards", seldom, r.readShards},
		{"incidents", 0, r.readIncidents},
		{"newest", 0, r.listOpen},
		{"verdicts", 0, r.readVerdicts},
		{"signed", 0, r.readSigned},
		{"auditors", seldom, r.readAuditors},
		{"log", 3 * Every, r.readTlog},
		{"numbers", 0, r.readNumbers},
	} {
		if step.every > 0 && now.Before(r.next[step.name]) {
			continue
		}
		if err := step.do(ctx, now); err != nil {
			return nil, fmt.Errorf("%s of %s: %w", step.name, r.log.Name, err)
		}
		if next := now.Add(step.every); r.next[step.name].Before(next) {
			r.next[step.name] = next
		}
	}
	return r.summarize(ctx, now)
}

func (r *Reader) readHistory(ctx context.Context, _ time.Time) error {
	h, err := report.ReadHistory(ctx, r.store, r.log.Name)
	if err != nil {
		return err
	}
	r.history = h
	for shard, s := range r.shards {
		if !r.isSealed(shard) {
			continue
		}
		if s.whole(shard) && s.point.Epochs == s.runs[0].Epochs() {
			r.series.points[shard] = s.point
		}
		delete(r.shards, shard)
		delete(r.listed, shard)
	}
	return nil
}

func (r *Reader) isSealed(shard uint64) bool {
	return slices.ContainsFunc(r.history.Spans, func(s verdict.SealedSpan) bool { return s.First() <= shard && shard <= s.Last() })
}

// readOverruled takes two requests for each overruled epoch, and so is done less often the more
// there are.
func (r *Reader) readOverruled(ctx context.Context, now time.Time) (err error) {
	if r.overruled, err = report.ReadOverruled(ctx, r.store, r.log.Name); err != nil {
		return err
	}
	cost := 2 * len(r.overruled.Epochs())
	r.next["overruled"] = now.Add(time.Duration(cost/100) * seldom)
	return nil
}

func (r *Reader) readChain(ctx context.Context, _ time.Time) (err error) {
	r.chain, err = report.ReadChain(ctx, r.store, r.log.Name, r.log.First, 0)
	return err
}

// readIncidents reads what is open, and what is said of some of it.
func (r *Reader) readIncidents(ctx context.Context, _ time.Time) (err error) {
	if r.open, err = incident.ReadList(ctx, r.store, r.log.Name); err != nil {
		return err
	}
	shown, left := map[string]incident.Details{}, detailsPerRound
	for _, o := range r.open.Open[:min(len(r.open.Open), maxDetails)] {
		d, known := r.details[o.Incident]
		if (!known || d.Acknowledged != o.Acknowledged) && left > 0 {
			left--
			if d, err = incident.ReadDetails(ctx, r.store, r.log.Name, o.Incident); err != nil {
				d = incident.Details{Open: o} // it may have ended since
			}
		}
		shown[o.Incident] = d
	}
	r.details = shown
	return nil
}

// readShards finds the shards that are not sealed.
func (r *Reader) readShards(ctx context.Context, _ time.Time) error {
	next := uint64(0)
	for _, span := range append(slices.Clone(r.history.Spans), verdict.SealedSpan{}) {
		last := uint64(verdict.MaxEpoch / verdict.EpochsPerShard)
		isSpan := span.To > 0
		if isSpan {
			last = max(span.First(), 1) - 1
		}
		if next <= last && (!isSpan || span.First() > next) {
			if err := r.addShards(ctx, next, last); err != nil {
				return err
			}
		}
		if isSpan {
			next = span.Last() + 1
		}
	}
	return nil
}

func (r *Reader) addShards(ctx context.Context, from, to uint64) error {
	shards, err := r.store.Shards(ctx, r.log.Name, from, to)
	if err != nil {
		return err
	}
	for _, shard := range shards {
		if r.shards[shard] == nil && !r.isSealed(shard) {
			r.shards[shard] = &openShard{}
		}
	}
	return nil
}

// listOpen lists the verdicts of the newest shards, and of some others in turn.
func (r *Reader) listOpen(ctx context.Context, _ time.Time) error {
	if err := r.addShards(ctx, r.lastShard(), verdict.MaxEpoch/verdict.EpochsPerShard); err != nil {
		return err
	}
	open := r.openShards()
	newest := open[max(len(open)-2, 0):]
	others := open[:len(open)-len(newest)]
	some := slices.Clone(newest)
	for _, shard := range slices.Backward(others) { // first what was never listed
		if _, known := r.listed[shard]; !known && len(some) < len(newest)+shardsPerRound {
			some = append(some, shard)
		}
	}
	for range min(len(others), len(newest)+shardsPerRound-len(some)) {
		r.turn++
		some = append(some, others[r.turn%len(others)])
	}
	for _, shard := range some {
		epochs, err := r.store.Epochs(ctx, r.log.Name, shard)
		if err != nil {
			return err
		}
		r.listed[shard] = epochs
	}
	return nil
}

// unlisted is how many of the open shards were never listed, whose verdicts nobody knows of.
func (r *Reader) unlisted() (n int) {
	for _, shard := range r.openShards() {
		if _, known := r.listed[shard]; !known {
			n++
		}
	}
	return n
}

// lastShard is the newest shard known to have a verdict.
func (r *Reader) lastShard() (last uint64) {
	for shard := range r.shards {
		last = max(last, shard)
	}
	if n := len(r.history.Spans); n > 0 {
		last = max(last, r.history.Spans[n-1].Last())
	}
	return last
}

// openShards are those of which not every epoch was read, ascending.
func (r *Reader) openShards() (open []uint64) {
	for shard, s := range r.shards {
		if !s.whole(shard) {
			open = append(open, shard)
		}
	}
	slices.Sort(open)
	return open
}

// readVerdicts reads some that were not read yet, the newest first.
func (r *Reader) readVerdicts(ctx context.Context, now time.Time) error {
	wanted := r.unread(now)
	wanted = wanted[:min(len(wanted), verdictsPerRound)]
	verdicts, err := report.ReadReadable(ctx, r.store, r.log.Name, wanted)
	if err != nil {
		return err
	}
	for _, epoch := range wanted {
		v, ok := verdicts[epoch]
		if !ok {
			r.unreadable[epoch] = now.Add(10 * time.Minute)
			continue
		}
		delete(r.unreadable, epoch)
		r.newest[epoch] = v
		if s := r.shards[epoch/verdict.EpochsPerShard]; s != nil {
			s.add(v)
		}
	}
	r.forget()
	return nil
}

// unread are the epochs with a verdict that was not read, the newest first: those of open shards,
// and the newest of all for their details.
func (r *Reader) unread(now time.Time) (epochs []uint64) {
	for _, shard := range slices.Backward(slices.Sorted(keys(r.listed))) {
		for _, epoch := range slices.Backward(r.listed[shard]) {
			if s := r.shards[shard]; s != nil && !s.has(epoch) && now.After(r.unreadable[epoch]) {
				epochs = append(epochs, epoch)
			}
		}
	}
	for _, epoch := range r.newestEpochs() {
		if _, known := r.newest[epoch]; !known && !slices.Contains(epochs, epoch) && now.After(r.unreadable[epoch]) {
			epochs = append(epochs, epoch)
		}
	}
	return epochs
}

// newestEpochs are the newest epochs that are known to have a verdict, the newest first.
func (r *Reader) newestEpochs() (newest []uint64) {
	spans := r.spans()
	for _, span := range slices.Backward(spans) {
		for epoch := span.To; epoch >= span.From; epoch-- {
			if len(newest) == maxNewest {
				return newest
			}
			newest = append(newest, epoch)
		}
	}
	return newest
}

// forget drops the details of epochs that are not among the newest any more.
func (r *Reader) forget() {
	if len(r.newest) <= 4*maxNewest {
		return
	}
	epochs := slices.Sorted(keys(r.newest))
	for _, epoch := range epochs[:len(epochs)-2*maxNewest] {
		delete(r.newest, epoch)
	}
}

func (r *Reader) readSigned(ctx context.Context, _ time.Time) error {
	first, last, ok, err := auditor.SignedRange(ctx, r.store, r.log.Name)
	if r.signed = nil; ok {
		r.signed = []epochset.Range{{From: first, To: last}}
	}
	return err
}

func (r *Reader) readAuditors(ctx context.Context, _ time.Time) error {
	var states []AuditorState
	for _, a := range r.log.Auditors {
		newest, err := crosscheck.Newest(ctx, r.store, r.log.Name, a.ID)
		if err != nil {
			return err
		}
		states = append(states, AuditorState{URL: a.URL, Newest: newest})
	}
	r.auditors = states
	return nil
}

func (r *Reader) readNumbers(ctx context.Context, _ time.Time) error {
	requests := numbersPerRound
	for shard, s := range r.shards { // what was read anyway is kept, too
		if s.whole(shard) && s.point.Epochs == s.runs[0].Epochs() && requests > 0 {
			if _, known := r.series.points[shard]; !known {
				requests -= 2
				if err := r.series.put(ctx, shard, s.point); err != nil {
					return err
				}
			}
		}
	}
	return r.series.fill(ctx, r.history, requests)
}

// spans are all epochs with a verdict that was read or sealed, ascending and apart.
func (r *Reader) spans() []verdict.Span {
	var all []verdict.Span
	for _, s := range r.history.Spans {
		all = append(all, s.Span)
	}
	for _, s := range r.shards {
		all = append(all, s.runs...)
	}
	slices.SortFunc(all, func(a, b verdict.Span) int { return int(int64(a.From) - int64(b.From)) })
	return all
}
