package page

import (
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/page/documents"

	"github.com/ktaudit/ktaudit/page/summary"
)

// snapshot is what the page says at a time: the documents that are asked for most, made once for
// all visitors.
type snapshot struct {
	made      time.Time
	documents map[string]*documents.Document
	states    map[string]summaryJSON // by namespace
	newest    map[string][]summary.Epoch
	open      map[string][]incidentView
}

const (
	// newestShown and openShown are how much the overview lists of each log.
	newestShown, openShown = 5, 5
	// maxOpen is how many incidents a log's page, a feed and the JSON list.
	maxOpen = 200
)

// update makes the documents anew of what was read, and tells visitors what is new.
func (p *Page) update() error {
	p.publish.Lock()
	defer p.publish.Unlock()
	// To the minute, so that what did not change is the same document.
	now := p.now()
	asOf := now.UTC().Truncate(time.Minute)
	s := &snapshot{made: now, documents: map[string]*documents.Document{}, states: map[string]summaryJSON{}, newest: map[string][]summary.Epoch{}, open: map[string][]incidentView{}}
	var overview []logView
	states := []summaryJSON{}
	f := p.frame("", "Audits of key transparency logs", "", asOf)
	for _, l := range p.logs {
		v := f.log(l, now, newestShown, openShown)
		if v.Summary != nil {
			from, to := v.Summary.Bounds()
			v.Strip, v.Series = f.strip(v.Summary, "strip-"+v.Name, from, to, false), f.series(v.Summary)
			v.Strip.Rows = nil // on its own page
			for i := range v.Series {
				v.Series[i].Rows = nil
			}
		}
		overview = append(overview, v)
		state, err := p.updateLog(s, l, now, asOf)
		if err != nil {
			return fmt.Errorf("pages of %s: %w", l.log.Name, err)
		}
		states = append(states, state)
	}
	f.Description = describe(states)
	err := s.add("")(render("overview.html", "overview", overviewView{f, overview}))
	if err == nil {
		err = s.add("overview.json")(documents.JSON("overview", documents.ForSeconds, map[string]any{"logs": states, "as_of": asOf}))
	}
	if err == nil {
		err = p.addIncidents(s, now, asOf)
	}
	if err == nil {
		err = s.add("search/")(render("search.html", "search", p.searchView("", nil, asOf)))
	}
	if err != nil {
		return err
	}
	s.documents["robots.txt"] = documents.New("robots", documents.TypeText, documents.ForSeconds, []byte("User-agent: *\nDisallow: /tlog/\nDisallow: /events\nDisallow: /search/\n"))
	previous := p.current.Swap(s)
	p.tell(previous, s)
	return nil
}

// add returns what puts a document, if it could be made, at a path.
func (s *snapshot) add(path string) func(*documents.Document, error) error {
	return func(d *documents.Document, err error) error {
		if err == nil {
			s.documents[path] = d
		}
		return err
	}
}

type overviewView struct {
	frame
	Logs []logView
}

// describe is the page in a sentence, for link previews.
func describe(states []summaryJSON) string {
	text := "An independent auditor of key transparency logs."
	for _, s := range states {
		text += " " + s.Namespace + ": " + s.StateText
	}
	if len(text) > 300 {
		text = text[:297] + "…"
	}
	return text
}

// updateLog makes the documents of a log that are made once for all.
func (p *Page) updateLog(s *snapshot, l *logState, now, asOf time.Time) (summaryJSON, error) {
	name := l.log.Name
	folder := "logs/" + name + "/"
	f := p.frame(folder, name, "", asOf)
	v := f.log(l, now, maxShownNewest, maxOpen)
	state := summaryOf(v, now)
	s.states[name], s.open[name] = state, v.Incidents
	f.Description, f.Feed = v.StateText, "feed.atom"
	whole := logPage{frame: f, logView: v, Keys: l.log.Keys}
	detail := detailOf(state, v)
	if v.Summary != nil {
		s.newest[name] = v.Summary.Newest
		from, to := v.Summary.Bounds()
		whole.Strip, whole.Series, whole.Tiers = f.strip(v.Summary, "whole", from, to, true), f.series(v.Summary), tiers(v.Summary, maxTierRanges)
		whole.Witnessed, whole.Auditors = v.Summary.Witnessed, v.Summary.Auditors
		if err := s.add(folder + "strip.json")(documents.JSON("strip", documents.ForSeconds, stripOf(v.Summary, from, to, summary.Columns))); err != nil {
			return state, err
		}
		if err := s.add(folder + "series.json")(documents.JSON("series", documents.ForSeconds, seriesOf(v.Summary))); err != nil {
			return state, err
		}
	}
	if err := s.add(folder)(render("log.html", "log", whole)); err != nil {
		return state, err
	}
	if err := s.add(folder + "log.json")(documents.JSON("log", documents.ForSeconds, detail)); err != nil {
		return state, err
	}
	if err := s.add(folder + "keys.json")(documents.JSON("keys", documents.ForSeconds, keysOf(l.log))); err != nil {
		return state, err
	}
	s.documents[folder+"badge.svg"] = documents.Badge(state.State, state.Head)
	return state, s.add(folder + "feed.atom")(p.logFeed(v))
}

// maxShownNewest is how many of the newest epochs a log's page lists.
const maxShownNewest = 30

// logPage is a log's own page, or that of a range of it.
type logPage struct {
	frame
	logView
	Range     *rangeView // nil: the whole
	Up        string     // what holds the range
	Tiers     []tierView
	Witnessed summary.Witnessed
	Auditors  []summary.AuditorState
	Keys      summary.Keys
}

// Describe is what stands beside the title.
func (l logPage) Describe() string {
	if l.Range == nil {
		return l.Name
	}
	return fmt.Sprintf("%s, epochs %s to %s", l.Name, number(l.Range.From), number(l.Range.To))
}
