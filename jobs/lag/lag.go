package lag

import (
	"context"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/frontier"
)

// Config says which audit is compared with which log.
type Config struct {
	Namespace string
	Log       *fetcher.Fetcher
	Store     *auditstore.Store
	First     uint64 // epoch of the audit
	// Cadence is how often the log publishes; 0 means to measure it, and until then Poll stands for
	// it.
	Cadence, Poll time.Duration
	// Judged is the newest epoch with a verdict; 0 while there is none. JudgedAt is when it got it.
	Judged   uint64
	JudgedAt time.Time
}

// Lag is how far an audit is behind its log. Epochs without a verdict before the newest one that
// has one are not counted: a status calls them missing.
type Lag struct {
	// Published is the newest epoch that the log has come to; 0 if it shows none.
	Published uint64 `json:"published"`
	// Epochs is how many up to it come after the newest one with a verdict.
	Epochs uint64 `json:"epochs"`
	// Since is when the first of these was published, as the log says, or else when the newest
	// verdict was recorded; zero if there is none of these, or neither is known.
	Since time.Time `json:"since,omitzero"`
	// Cached says that the log's answer came out of a cache on the way, so that there may be newer
	// epochs.
	Cached bool `json:"cached,omitempty"`
}

// Read asks the log how far it has come. It takes a few requests, or some seventy where a million
// epochs have no verdict.
func Read(ctx context.Context, c Config, now time.Time) (Lag, error) {
	settings := frontier.Config{
		Namespace: c.Namespace, Log: c.Log, Store: c.Store, First: c.First, Cadence: c.Cadence, Poll: c.Poll,
	}
	f := frontier.New(settings)
	if err := f.Advance(ctx, now); err != nil {
		return Lag{}, err
	}
	if f.Newest() < c.Judged {
		// Before epochs that the log left out a search stops until the log stands still, and there
		// is only this one. What was judged behind them was there.
		settings.Start = c.Judged
		f = frontier.New(settings)
		if err := f.Advance(ctx, now); err != nil {
			return Lag{}, err
		}
	}
	l := Lag{Cached: f.IsStale()}
	if f.Newest() < c.First {
		return l, nil
	}
	l.Published = f.Newest()
	before := max(c.Judged, c.First-1)
	if l.Published <= before {
		return l, nil
	}
	l.Epochs = l.Published - before
	var err error
	l.Since, err = since(ctx, c, before+1, l.Published, now)
	return l, err
}

// since returns when the first of the epochs that are behind was published. One that the log left
// out has no time; the newest one has. A time ahead of ours says nothing.
func since(ctx context.Context, c Config, first, newest uint64, now time.Time) (time.Time, error) {
	for _, epoch := range []uint64{first, newest} {
		answer, err := frontier.Locate(ctx, c.Log, epoch)
		if err != nil {
			return time.Time{}, err
		}
		if written := answer.Object.ModTime; !written.IsZero() && !written.After(now) {
			return written.UTC(), nil
		}
	}
	return c.JudgedAt.UTC(), nil
}

// Exceeds reports whether the audit is further behind than by so many epochs, or for longer than so
// long; 0 does not bound it. A time that is not known is too long.
func (l Lag) Exceeds(epochs uint64, age time.Duration, now time.Time) bool {
	switch {
	case l.Epochs == 0:
		return false
	case epochs > 0 && l.Epochs > epochs:
		return true
	}
	return age > 0 && (l.Since.IsZero() || now.Sub(l.Since) > age)
}
