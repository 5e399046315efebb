package page

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/page/summary"
)

const (
	// rows is how many lines the table of a strip has at most.
	rows = 100
	// wide is the width of charts, in units of their view boxes.
	wide, tierHeight, seriesHeight = 1000, 18, 160
	// pointsShown is how many points a chart over time has at most.
	pointsShown = 100
)

// stripView is how far each tier goes over a range of epochs.
type stripView struct {
	ID, Namespace string
	Log           string // the relative URL of the log's folder
	JSON          string
	From, To      uint64 // 0: nothing is known
	First, Last   uint64 // of all that is known
	Size          uint64 // epochs of a bucket
	Height        int
	Tiers         []stripTier
	Columns       []column // buckets that can be opened
	Rows          []stripRow
	MoreRows      int
}

type stripTier struct {
	Name  string
	Label string
	Y     int
	Cells []cell
	Count uint64 // epochs of the range
}

type cell struct {
	X, Width string
	Class    string // full, part, none or wrong
}

type column struct{ X, Width, Link, Title string }

type stripRow struct {
	From, To uint64
	Link     string
	Tiers    [5]string
	Wrong    string
}

var tierLabels = [5]string{"Seen", "Chained", "Verified", "Signed", "Witnessed"}

// strip shows a range of epochs. open has buckets link to what they hold.
func (f frame) strip(s *summary.Summary, id string, from, to uint64, open bool) stripView {
	folder := "logs/" + s.Log.Name + "/"
	v := stripView{ID: id, Namespace: s.Log.Name, Log: f.Root + folder, JSON: f.Root + folder + "strip.json", From: from, To: to, Height: 5 * tierHeight}
	v.First, v.Last = s.Bounds()
	if to == 0 {
		return v
	}
	v.Size = summary.BucketSize(from, to, summary.Columns)
	buckets := s.Strip(from, to, v.Size)
	scale := wide / float64(to-from+1)
	at := func(epoch uint64) float64 { return float64(epoch-from) * scale }
	for i, name := range summary.TierNames {
		t := stripTier{Name: name, Label: tierLabels[i], Y: i * tierHeight, Count: s.Tiers[i].Count(from, to)}
		for start := 0; start < len(buckets); {
			class, end := classOf(buckets[start], i), start+1
			for end < len(buckets) && classOf(buckets[end], i) == class {
				end++
			}
			x := at(buckets[start].From)
			t.Cells = append(t.Cells, cell{coordinate(x), coordinate(at(buckets[end-1].To+1) - x), class})
			start = end
		}
		v.Tiers = append(v.Tiers, t)
	}
	if open {
		for _, b := range buckets {
			if link := f.bucketLink(s, b); link != "" {
				v.Columns = append(v.Columns, column{coordinate(at(b.From)), coordinate(float64(b.Epochs()) * scale), link, bucketTitle(b)})
			}
		}
	}
	v.Rows = f.stripRows(s, buckets)
	if len(v.Rows) > rows {
		v.MoreRows, v.Rows = len(v.Rows)-rows, v.Rows[:rows]
	}
	return v
}

// bucketLink leads to what a bucket holds, if that is anything.
func (f frame) bucketLink(s *summary.Summary, b summary.Bucket) string {
	switch {
	case b.IsEmpty():
		return ""
	case b.From == b.To:
		return f.link(EpochPath(s.Log.Name, b.From))
	}
	return f.link(RangePath(s.Log.Name, b.From, b.To))
}

// classOf says how much of a bucket a tier covers. What is wrong shows where it is verified.
func classOf(b summary.Bucket, tier int) string {
	switch n := b.Tiers[tier]; {
	case tier == summary.Verified && b.Rejected > 0 || tier == summary.Chained && b.Breaks > 0 || tier == summary.Verified && b.Breaks > 0:
		return "wrong"
	case n == 0:
		return "none"
	case n < b.Epochs():
		return "part"
	}
	return "full"
}

func bucketTitle(b summary.Bucket) string {
	title := fmt.Sprintf("Epoch %s", number(b.From))
	if b.To > b.From {
		title = fmt.Sprintf("Epochs %s to %s", number(b.From), number(b.To))
	}
	for i, name := range summary.TierNames {
		if b.Tiers[i] > 0 {
			title += fmt.Sprintf(", %s %s", number(b.Tiers[i]), name)
		}
	}
	return title + wrongText(b)
}

func wrongText(b summary.Bucket) (text string) {
	if b.Rejected > 0 {
		text += fmt.Sprintf(", %s rejected", number(b.Rejected))
	}
	if b.Breaks > 0 {
		text += fmt.Sprintf(", %s", plural(b.Breaks, "contradiction"))
	}
	return text
}

// stripRows says the same in words: buckets that say the same are one row.
func (f frame) stripRows(s *summary.Summary, buckets []summary.Bucket) (all []stripRow) {
	same := func(a, b summary.Bucket) bool {
		for i := range a.Tiers {
			if c := classOf(a, i); c != classOf(b, i) || c == "part" || c == "wrong" {
				return false
			}
		}
		return true
	}
	for len(buckets) > 0 {
		n := 1
		for n < len(buckets) && same(buckets[0], buckets[n]) {
			n++
		}
		joined := buckets[0]
		for _, b := range buckets[1:n] {
			joined.To = b.To
			for i := range b.Tiers {
				joined.Tiers[i] += b.Tiers[i]
			}
		}
		r := stripRow{From: joined.From, To: joined.To, Wrong: strings.TrimPrefix(wrongText(joined), ", ")}
		if n == 1 {
			r.Link = f.bucketLink(s, joined)
		}
		for i, count := range joined.Tiers {
			switch count {
			case 0:
				r.Tiers[i] = "none"
			case joined.Epochs():
				r.Tiers[i] = "all"
			default:
				r.Tiers[i] = number(count)
			}
		}
		all, buckets = append(all, r), buckets[n:]
	}
	return all
}

func coordinate(x float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", x), "0"), ".")
}

// seriesView is a number over time, as the mean of an epoch.
type seriesView struct {
	ID, Kind, Title string
	JSON            string
	Line, Area      string // of the chart
	Top             string // what the upper edge stands for
	Height          int
	First, Last     summary.Point
	Rows            []seriesRow
	Read, Shards    int // of how many thousands of epochs the numbers are known
}

type seriesRow struct {
	summary.Point
	Mean, Max string
}

// series shows keys inserted and proof sizes over time.
func (f frame) series(s *summary.Summary) []seriesView {
	points := summary.Buckets(s.Points, pointsShown)
	if len(points) == 0 {
		return nil
	}
	keys := func(n float64) string { return number(math.Round(n)) }
	bytes := func(n float64) string { return size(n) }
	all := []seriesView{
		chart("inserted", "Keys inserted in an epoch", points, keys, func(p summary.Point) float64 { return float64(p.Inserted) / float64(p.Epochs) }),
		chart("bytes", "Size of an epoch's proof", points, bytes, func(p summary.Point) float64 { return float64(p.Bytes) / float64(p.Epochs) }),
	}
	for i := range all {
		v := &all[i]
		v.ID, v.JSON, v.Read, v.Shards = v.Kind+"-"+s.Log.Name, f.Root+"logs/"+s.Log.Name+"/series.json", len(s.Points), s.Shards
		if v.Kind == "bytes" {
			for j, p := range points {
				v.Rows[j].Max = size(p.MaxBytes)
			}
		}
	}
	return all
}

func chart(kind, title string, points []summary.Point, text func(float64) string, mean func(summary.Point) float64) seriesView {
	v := seriesView{Kind: kind, Title: title, First: points[0], Last: points[len(points)-1], Height: seriesHeight}
	top := 1.0
	for _, p := range points {
		top = max(top, mean(p))
	}
	v.Top = text(top)
	from := v.First.From
	scale := wide / float64(max(v.Last.To-from, 1))
	var line []string
	for _, p := range points {
		y := "," + coordinate(seriesHeight*(1-mean(p)/top)) // a step, for it is a mean
		line = append(line, coordinate(float64(p.From-from)*scale)+y, coordinate(float64(p.To-from)*scale)+y)
		v.Rows = append(v.Rows, seriesRow{Point: p, Mean: text(mean(p))})
	}
	v.Line = strings.Join(line, " ")
	first, _, _ := strings.Cut(line[0], ",")
	last, _, _ := strings.Cut(line[len(line)-1], ",")
	v.Area = fmt.Sprintf("M%s,%d L%s L%s,%d Z", first, seriesHeight, strings.Join(line, " L"), last, seriesHeight)
	return v
}

// maxTierRanges is how many ranges of a tier are listed.
const maxTierRanges = 100

type tierView struct {
	Name, Label, Says string
	Count             uint64
	Ranges            []rangeView
	More              int
}

type rangeView struct{ From, To uint64 }

// says are what the tiers say, and no more.
var says = [5]string{
	"the log published a batch under a name for the epoch",
	"and the names of all epochs of a range continue each other, one batch each",
	"and the batch proves that the tree only grew",
	"and this auditor signed the digest, the only one for the epoch",
	"and what this auditor concluded is in its own append-only log, which witnesses have cosigned",
}

// tiers lists ranges, the newest ones where there are many.
func tiers(s *summary.Summary, limit int) (all []tierView) {
	for i, t := range s.Tiers {
		v := tierView{Name: t.Name, Label: tierLabels[i], Says: says[i], Count: t.Total()}
		v.More = max(len(t.All)-limit, 0)
		for _, r := range slices.Backward(t.All[v.More:]) {
			v.Ranges = append(v.Ranges, rangeView{r.From, r.To})
		}
		all = append(all, v)
	}
	return all
}
