package summary

import (
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// Summary is what the page knows of a log. It is never changed once it was made.
type Summary struct {
	Log    Log
	ReadAt time.Time
	// Status has neither incidents nor names, nor what is said of rejections beside their epochs.
	Status report.Status
	// Head is the verdict on Status.Head; of epoch 0 if there is none.
	Head verdict.Verdict
	// Unread is how many verdicts are known to be there and were not read yet, Unlisted how many
	// shards have more of them that were not counted yet. Unreadable are some of those that cannot
	// be read.
	Unread     int
	Unlisted   int
	Unreadable []uint64
	Chain      *report.ChainStatus // nil: the names were never walked
	Open       incident.List
	Details    map[string]incident.Details // of some of what is open
	Witnessed  Witnessed
	Auditors   []AuditorState
	Newest     []Epoch // the newest first
	// Points are the numbers over time that are known, by shard; Shards is how many have a verdict.
	Points []Point
	Shards int

	// The tiers, from weak to strong.
	Tiers [5]Tier
	// Judged are all epochs with a verdict.
	Judged Ranges
}

// The names of the tiers, from weak to strong.
const (
	Seen = iota
	Chained
	Verified
	Signed
	InLog // witnessed
)

// TierNames are those of the tiers.
var TierNames = [5]string{"seen", "chained", "verified", "signed", "witnessed"}

// Tier is how far one kind of statement goes.
type Tier struct {
	Name string
	Ranges
}

// AuditorState is what is known of another auditor.
type AuditorState struct {
	URL    string `json:"url"`
	Newest uint64 `json:"newest"` // the last epoch whose signed digest was compared; 0: none
	// Contradicts: there is an open incident that says that it, or another auditor of the log, does
	// not agree with what the log showed here.
	Contradicts bool `json:"contradicts"`
}

func (r *Reader) summarize(ctx context.Context, now time.Time) (*Summary, error) {
	sum := report.NewSum(r.log.Name, r.log.Anchor, r.log.First, r.overruled)
	read := func(epoch uint64) (v verdict.Verdict, err error) {
		v, known := r.cuts[epoch]
		if !known {
			if v, err = r.store.Verdict(ctx, r.log.Name, epoch); err == nil {
				r.cuts[epoch] = v
			}
		}
		return v, err
	}
	var judged []epochset.Range
	for _, span := range r.spans() {
		judged = append(judged, epochset.Range{From: span.From, To: span.To})
		if span.To < r.log.First {
			continue
		}
		if err := sum.Add(report.Clip(span, max(span.From, r.log.First), span.To), read); err != nil {
			return nil, err
		}
	}
	s := &Summary{
		Log: r.log, ReadAt: now.UTC(), Status: sum.Status(r.open), Chain: r.chain, Open: r.open, Details: r.details,
		Witnessed: r.tlog, Unread: len(r.unread(now)), Unlisted: r.unlisted(), Unreadable: slices.Sorted(maps.Keys(r.unreadable)),
		Judged: NewRanges(Union(judged)), Newest: r.newestRead(),
	}
	if err := r.readHead(ctx, s.Status.Head); err != nil {
		return nil, err
	}
	s.Head = r.head
	s.addTiers(r.signed)
	s.addPoints(r)
	for _, a := range r.auditors {
		a.Contradicts = slices.ContainsFunc(r.open.Open, func(o incident.Open) bool {
			return o.Kind == "split_view" || o.Kind == "auditor_contradiction"
		})
		s.Auditors = append(s.Auditors, a)
	}
	return s, nil
}

// readHead reads the verdict on the head, and makes sure that it is the one that was sealed.
func (r *Reader) readHead(ctx context.Context, head uint64) (err error) {
	if head == 0 {
		r.head = verdict.Verdict{}
		return nil
	}
	if r.head.Epoch != head {
		r.head, err = report.HeadVerdict(ctx, r.store, r.log.Name, head)
	}
	return err
}

func (s *Summary) addTiers(signed []epochset.Range) {
	var seen, chained, witnessed []epochset.Range
	if s.Chain != nil {
		seen = s.Chain.Seen()
		for _, r := range s.Chain.Chained {
			chained = append(chained, epochset.Range(r))
		}
	}
	if w := s.Witnessed; w.Size > 0 && w.Enough {
		witnessed = []epochset.Range{{From: w.First, To: w.First + w.Size - 1}}
	}
	// Whatever has a verdict or was posted was published, too. That it continues what is around it
	// is said by the walk of the names alone.
	seen = Union(seen, s.Judged.All, signed)
	for i, ranges := range [][]epochset.Range{seen, chained, s.Status.Verified, signed, witnessed} {
		s.Tiers[i] = Tier{TierNames[i], NewRanges(ranges)}
	}
}

func (s *Summary) addPoints(r *Reader) {
	known := maps.Clone(r.series.points)
	for shard, open := range r.shards {
		if open.point.Epochs > 0 {
			known[shard] = open.point
		}
	}
	for _, shard := range slices.Sorted(maps.Keys(known)) {
		s.Points = append(s.Points, known[shard])
	}
	s.Shards = len(r.shards)
	for _, span := range r.history.Spans {
		s.Shards += int(span.Last() - span.First() + 1)
	}
}

// newestRead are the newest epochs that were read, the newest first, as the verdicts that count
// have them.
func (r *Reader) newestRead() []Epoch {
	newest := []Epoch{}
	for _, epoch := range slices.Backward(slices.Sorted(maps.Keys(r.newest))) {
		if len(newest) == maxNewest {
			break
		}
		e := EpochOf(r.overruled.Newest(r.newest[epoch]))
		e.Overruled = r.overruled.Of(epoch) != nil
		newest = append(newest, e)
	}
	return newest
}

// SeenTo is the last epoch that the log is known to have published; 0 if none is.
func (s *Summary) SeenTo() uint64 {
	all := s.Tiers[Seen].All
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].To
}

// IsPart reports whether not all verdicts on record were read yet. How far the audit is, and how
// far it is behind, is not known then.
func (s *Summary) IsPart() bool { return s.Unread > 0 || s.Unlisted > 0 }

// UnreadText says how much was not read yet.
func (s *Summary) UnreadText() string {
	about := ""
	if s.Unlisted > 0 {
		about = "more than "
	}
	if s.Unread == 1 && about == "" {
		return "1 verdict"
	}
	return about + Number(s.Unread) + " verdicts"
}

// Lag is how many epochs that the log is known to have published, from the first of the audit on,
// are after the head. It means nothing while the summary is a part.
func (s *Summary) Lag() uint64 {
	last := s.SeenTo()
	if last <= s.Status.Head {
		return 0
	}
	return s.Tiers[Seen].Count(max(s.Status.Head+1, s.Log.First), last)
}

func keys[K comparable, V any](m map[K]V) iter.Seq[K] { return maps.Keys(m) }
