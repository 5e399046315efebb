package page

import (
	"time"

	"github.com/ktaudit/ktaudit/page/summary"
)

// summaryJSON is a log at a glance.
type summaryJSON struct {
	Namespace     string     `json:"namespace"`
	State         string     `json:"state"` // good, warning, wrong, empty or unread
	StateText     string     `json:"state_text"`
	Head          uint64     `json:"head"` // verified up to this epoch; 0: none is
	HeadDigest    string     `json:"head_digest,omitempty"`
	HeadAt        time.Time  `json:"head_at,omitzero"`
	Newest        uint64     `json:"newest,omitempty"` // epoch with a verdict
	NewestAt      time.Time  `json:"newest_at,omitzero"`
	SeenTo        uint64     `json:"seen_to,omitempty"`
	LagEpochs     *uint64    `json:"lag_epochs"` // null: not known, for not all verdicts were read yet
	LagText       string     `json:"lag_text,omitempty"`
	UnreadSince   time.Time  `json:"unread_since,omitzero"`
	IncidentsOpen int        `json:"incidents_open"` // that nobody has acknowledged
	Tiers         []tierJSON `json:"tiers,omitempty"`
}

type tierJSON struct {
	Tier   string      `json:"tier"`
	Count  uint64      `json:"count"`
	Ranges []rangeJSON `json:"ranges"` // the newest first
	More   int         `json:"more,omitempty"`
}

type rangeJSON struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

func summaryOf(v logView, now time.Time) summaryJSON {
	j := summaryJSON{Namespace: v.Name, State: v.State, StateText: v.StateText, UnreadSince: v.Unread.UTC().Truncate(time.Second)}
	s := v.Summary
	if v.Unread.IsZero() {
		j.UnreadSince = time.Time{}
	}
	if s == nil {
		return j
	}
	j.Head, j.HeadDigest, j.HeadAt = s.Status.Head, s.Head.Digest, s.Head.FinishedAt.UTC()
	if len(s.Newest) > 0 {
		j.Newest, j.NewestAt = s.Newest[0].Epoch, s.Newest[0].FinishedAt
	}
	j.SeenTo, j.LagText = s.SeenTo(), lagText(s, now)
	if lag := s.Lag(); !s.IsPart() {
		j.LagEpochs = &lag
	}
	for _, n := range s.Open.Unacknowledged() {
		j.IncidentsOpen += n
	}
	for _, t := range tiers(s, 20) {
		one := tierJSON{Tier: t.Name, Count: t.Count, Ranges: []rangeJSON{}, More: t.More}
		for _, r := range t.Ranges {
			one.Ranges = append(one.Ranges, rangeJSON(r))
		}
		j.Tiers = append(j.Tiers, one)
	}
	return j
}

// logJSON is what a log's page shows.
type logJSON struct {
	Summary   summaryJSON            `json:"summary"`
	Newest    []summary.Epoch        `json:"newest"`
	Incidents []incidentView         `json:"incidents"`
	More      int                    `json:"more_incidents,omitempty"`
	Witnessed *summary.Witnessed     `json:"witnessed,omitempty"`
	Auditors  []summary.AuditorState `json:"auditors"`
}

func detailOf(state summaryJSON, v logView) logJSON {
	j := logJSON{Summary: state, Newest: []summary.Epoch{}, Incidents: v.Incidents, More: v.MoreOpen, Auditors: []summary.AuditorState{}}
	if v.Incidents == nil {
		j.Incidents = []incidentView{}
	}
	if s := v.Summary; s != nil {
		j.Newest, j.Witnessed = s.Newest, &s.Witnessed
		j.Auditors = append(j.Auditors, s.Auditors...)
	}
	return j
}

type stripJSON struct {
	Namespace string       `json:"namespace"`
	From      uint64       `json:"from"`
	To        uint64       `json:"to"`
	Bucket    uint64       `json:"bucket"` // epochs of a bucket but for the first and the last
	First     uint64       `json:"first"`  // of all that is known
	Last      uint64       `json:"last"`
	Buckets   []bucketJSON `json:"buckets"`
}

// bucketJSON counts epochs.
type bucketJSON struct {
	From      uint64 `json:"from"`
	To        uint64 `json:"to"`
	Seen      uint64 `json:"seen"`
	Chained   uint64 `json:"chained"`
	Verified  uint64 `json:"verified"`
	Signed    uint64 `json:"signed"`
	Witnessed uint64 `json:"witnessed"`
	Rejected  int    `json:"rejected,omitempty"`
	Breaks    int    `json:"breaks,omitempty"`
}

func stripOf(s *summary.Summary, from, to, n uint64) stripJSON {
	j := stripJSON{Namespace: s.Log.Name, From: from, To: to, Buckets: []bucketJSON{}}
	j.First, j.Last = s.Bounds()
	if to == 0 {
		return j
	}
	j.Bucket = summary.BucketSize(from, to, n)
	for _, b := range s.Strip(from, to, j.Bucket) {
		t := b.Tiers
		j.Buckets = append(j.Buckets, bucketJSON{b.From, b.To, t[0], t[1], t[2], t[3], t[4], b.Rejected, b.Breaks})
	}
	return j
}

type seriesJSON struct {
	Namespace string `json:"namespace"`
	// Points are sums over epochs whose verdicts were read.
	Points     []summary.Point `json:"points"`
	ShardsRead int             `json:"shards_read"` // thousands of epochs, of all that have a verdict
	Shards     int             `json:"shards"`
}

func seriesOf(s *summary.Summary) seriesJSON {
	j := seriesJSON{s.Log.Name, summary.Buckets(s.Points, pointsShown), len(s.Points), s.Shards}
	if j.Points == nil {
		j.Points = []summary.Point{}
	}
	return j
}

// keysJSON are the keys by which others check what this auditor says: C2SP vkeys.
type keysJSON struct {
	Namespace string   `json:"namespace"`
	Log       string   `json:"log,omitempty"`
	Events    string   `json:"events,omitempty"`
	Statement string   `json:"statement,omitempty"`
	Witnesses []string `json:"witnesses,omitempty"`
	Require   int      `json:"require,omitempty"`
}

func keysOf(l summary.Log) keysJSON {
	return keysJSON{l.Name, l.Keys.Verdicts, l.Keys.Events, l.Keys.Statement, l.Keys.Witnesses, l.Keys.Require}
}
