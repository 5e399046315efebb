package page

import (
	"context"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/internal/explain"
	"github.com/ktaudit/ktaudit/page/documents"
	"github.com/ktaudit/ktaudit/page/summary"
	"github.com/ktaudit/ktaudit/verdict"
)

// epoch returns what is on record of an epoch, from memory if it was read a moment ago;
// ErrNoDocument if nothing is.
func (p *Page) epoch(ctx context.Context, l *logState, epoch uint64, free bool) (*summary.Record, error) {
	key := fmt.Sprintf("%s/%d", l.log.Name, epoch)
	if v, ok := p.epochs.Get(key, p.now()); ok {
		return v, nil
	}
	s, _ := l.status(p.now())
	if epoch == 0 || epoch > verdict.MaxEpoch || s == nil {
		return nil, ErrNoDocument
	}
	if _, last := s.Bounds(); epoch > last {
		return nil, ErrNoDocument // whatever is asked for beyond costs nothing
	}
	if !free {
		if err := p.spend(p.reads, summary.RecordReads+len(l.log.Auditors)); err != nil {
			return nil, err
		}
	}
	v, err := summary.ReadRecord(ctx, p.c.Store, s, epoch)
	if err != nil {
		return nil, err
	}
	p.epochs.Put(key, v, p.now().Add(p.c.Every))
	return v, nil
}

// epochPage is the page of an epoch.
type epochPage struct {
	frame
	*summary.Record
	LogLink               string
	Open                  []incidentView
	BeforeLink, AfterLink string
	Proof                 bool // there is one in the verdict log
	Keys                  summary.Keys
	Explained             *explain.Text // what the reason of a rejection means; nil if there is none
	SignedAt              time.Time
	Directory             string
	Configuration         string // of the hashes of the log
}

func (p *Page) epochDocument(ctx context.Context, l *logState, path string, epoch uint64, what string, free bool) (*documents.Document, error) {
	v, err := p.epoch(ctx, l, epoch, free)
	if err != nil {
		return nil, err
	}
	switch what {
	case "":
		return p.epochPage(l, path, v)
	case "epoch.json":
		return documents.JSON("epoch", documents.ForSeconds, v)
	case "verdict.json":
		if v.Stored == nil {
			return nil, ErrNoDocument
		}
		return documents.New("verdict", documents.TypeJSON, documents.NotAtAll, v.Stored), nil
	case "proof.tlog-proof":
		return p.proof(ctx, l, v, free)
	case "statement":
		return p.statement(l, v)
	}
	return nil, ErrNoDocument
}

func (p *Page) epochPage(l *logState, path string, v *summary.Record) (*documents.Document, error) {
	title := fmt.Sprintf("Epoch %s of %s", number(v.Epoch), v.Namespace)
	f := p.frame(path, title, "", time.Time{})
	f.Feed = f.Root + "logs/" + v.Namespace + "/feed.atom"
	f.Description = title + ": " + v.Outcome()
	e := epochPage{frame: f, Record: v, LogLink: f.link("logs/" + v.Namespace + "/"), Keys: l.log.Keys, Directory: l.log.LogDirectory, Configuration: l.log.Configuration,
		Open: f.incidentViews(v.Incidents)}
	e.Proof = v.Index != nil
	if v.Before.Digest != "" {
		e.BeforeLink = f.link(EpochPath(v.Namespace, v.Before.Epoch))
	}
	if v.After.Digest != "" {
		e.AfterLink = f.link(EpochPath(v.Namespace, v.After.Epoch))
	}
	if v.Verdict != nil && v.Verdict.Reason != "" {
		if t, ok := explain.Of(string(v.Verdict.Reason)); ok {
			e.Explained = &t
		}
	}
	if v.Signed != nil {
		e.SignedAt = time.UnixMilli(int64(v.Signed.Timestamp)).UTC()
	}
	return render("epoch.html", "epoch", e)
}
