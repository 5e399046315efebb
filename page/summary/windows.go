package summary

import (
	"fmt"
	"slices"

	"github.com/ktaudit/ktaudit/verdict/epochset"
)

const (
	// Columns is how many buckets the strip of a page has at most.
	Columns = 200
	// maxNoteworthy bounds the epochs that a log can have files written for.
	maxNoteworthy = 10_000
)

// Noteworthy are the newest epochs, and those that something is to be said of, ascending.
func (s *Summary) Noteworthy(newest int) []uint64 {
	var all []uint64
	add := func(epoch uint64) {
		if epoch > 0 && len(all) < maxNoteworthy {
			all = append(all, epoch)
		}
	}
	for _, r := range s.Status.Rejected {
		add(r.Epoch)
	}
	for _, b := range s.Status.Breaks {
		add(b.Epoch - 1)
		add(b.Epoch)
	}
	for _, o := range s.Status.Overruled {
		add(o.Epoch)
	}
	for _, o := range s.Open.Open {
		if o.From == o.To && s.Tiers[Seen].Count(o.From, o.From) > 0 {
			add(o.From)
		}
	}
	if s.Status.Head > 0 {
		add(s.Status.Head)
	}
	for _, r := range slices.Backward(s.Judged.All) {
		for epoch := r.To; epoch >= r.From && newest > 0; epoch-- {
			all = append(all, epoch)
			newest--
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Windows are the ranges that the strips of a log lead to: of the whole log all, and within these
// those that lead to one of some epochs, which are ascending.
func (s *Summary) Windows(to []uint64) []epochset.Range {
	from, last := s.Bounds()
	if last == 0 {
		return nil
	}
	var all []epochset.Range
	var within func(from, last uint64, isWhole bool)
	within = func(from, last uint64, isWhole bool) {
		size := BucketSize(from, last, Columns)
		if size == 1 {
			return
		}
		for _, b := range s.Strip(from, last, size) {
			leads := len(epochset.Within(to, b.From, b.To)) > 0
			if b.IsEmpty() || b.From == b.To || !isWhole && !leads {
				continue
			}
			all = append(all, epochset.Range{From: b.From, To: b.To})
			if leads {
				within(b.From, b.To, false)
			}
		}
	}
	within(from, last, true)
	return all
}

// IsEmpty reports whether nothing is known of the bucket.
func (b Bucket) IsEmpty() bool { return b.Tiers == [5]uint64{} && b.Rejected+b.Breaks == 0 }

// Fingerprint changes with what the page of an epoch says.
func (s *Summary) Fingerprint(epoch uint64) string {
	text := ""
	for _, t := range s.Tiers {
		text += fmt.Sprintf("%d", t.Count(epoch, epoch))
	}
	for _, e := range []uint64{epoch - 1, epoch, epoch + 1} {
		text += fmt.Sprintf("/%d", s.Judged.Count(e, e))
	}
	for _, o := range s.Status.Overruled {
		if o.Epoch+1 >= epoch && o.Epoch <= epoch+1 {
			text += fmt.Sprintf("/%d.%d", o.Epoch, o.Number)
		}
	}
	for _, o := range s.Open.Open {
		if o.From > 0 && o.From <= epoch && epoch <= o.To {
			text += fmt.Sprintf("/%s %t", o.Incident, o.Acknowledged)
		}
	}
	for _, a := range s.Auditors {
		text += fmt.Sprintf("/%t", a.Newest >= epoch)
	}
	w := s.Witnessed
	return text + fmt.Sprintf("/%t/%d", w.First > 0 && w.First <= epoch && epoch < w.First+w.Newest, s.Status.SealedCount)
}
