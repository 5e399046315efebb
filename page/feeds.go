package page

import (
	"github.com/ktaudit/ktaudit/page/documents"

	"bytes"
	"encoding/xml"
	"fmt"
	"time"
)

// feed is an Atom feed (RFC 4287).
type feed struct {
	XMLName xml.Name   `xml:"http://www.w3.org/2005/Atom feed"`
	ID      string     `xml:"id"`
	Title   string     `xml:"title"`
	Updated string     `xml:"updated"`
	Author  author     `xml:"author"`
	Links   []feedLink `xml:"link"`
	Entries []entry    `xml:"entry"`
}

type author struct {
	Name string `xml:"name"`
}

type feedLink struct {
	Rel  string `xml:"rel,attr,omitempty"`
	Href string `xml:"href,attr"`
}

type entry struct {
	ID      string    `xml:"id"`
	Title   string    `xml:"title"`
	Updated string    `xml:"updated"`
	Link    *feedLink `xml:"link,omitempty"`
	Content content   `xml:"content"`
}

type content struct {
	Type string `xml:"type,attr"`
	Text string `xml:",chardata"`
}

// maxEntries is how many entries a feed has.
const maxEntries = 100

// logFeed is what is open of a log, and the newest thousandth epoch that is verified, so that a
// reader of feeds sees also that the audit goes on.
func (p *Page) logFeed(v logView) (*documents.Document, error) {
	f := p.newFeed("logs/"+v.Name+"/feed.atom", "Audit of "+v.Name)
	p.addEntries(f, v.Incidents)
	if s := v.Summary; s != nil && s.Status.Head > 0 {
		head := s.Status.Head / 1000 * 1000
		if head >= max(s.Status.From, 1) {
			f.Entries = append(f.Entries, entry{
				ID: p.tag("%s/verified/%d", v.Name, head), Title: fmt.Sprintf("%s: verified up to epoch %d", v.Name, head), Updated: stamp(s.Head.FinishedAt),
				Link: p.feedLink("alternate", "logs/"+v.Name+"/"), Content: content{"text", v.StateText},
			})
		}
	}
	return f.document()
}

func (p *Page) newFeed(path, title string) *feed {
	return &feed{
		ID: p.tag("%s", path), Title: title, Author: author{"ktaudit"}, Updated: stamp(time.Unix(0, 0)),
		Links: []feedLink{*p.feedLink("self", path)},
	}
}

// tag names something for ever (RFC 4151), whatever the page's URL is.
func (p *Page) tag(format string, args ...any) string {
	host := p.base.Hostname()
	if host == "" {
		host = "ktaudit.invalid"
	}
	return "tag:" + host + ",2026:" + fmt.Sprintf(format, args...)
}

// feedLink is an absolute URL if the page's is known.
func (p *Page) feedLink(rel, path string) *feedLink {
	if p.c.URL == "" {
		return &feedLink{rel, "/" + path}
	}
	return &feedLink{rel, p.base.JoinPath(path).String()}
}

func (p *Page) addEntries(f *feed, open []incidentView) {
	for _, i := range open[:min(len(open), maxEntries)] {
		title := i.Namespace + ": " + i.Title
		if i.From > 0 {
			title = fmt.Sprintf("%s, epoch %d: %s", i.Namespace, i.From, i.Title)
		}
		text := i.Means
		if i.Summary != "" {
			text = i.Summary + "\n" + i.Detail + "\n\n" + text
		}
		if i.Acknowledged {
			text += "\n\nSomebody has dealt with it, on record."
		}
		at := i.At
		if at.IsZero() {
			at = time.Unix(0, 0)
		}
		f.Entries = append(f.Entries, entry{
			ID: p.tag("%s/incidents/%s", i.Namespace, i.Name), Title: title, Updated: stamp(at),
			Link: p.feedLink("alternate", "incidents/"), Content: content{"text", text},
		})
	}
}

func (f *feed) document() (*documents.Document, error) {
	for _, e := range f.Entries {
		f.Updated = max(f.Updated, e.Updated)
	}
	var b bytes.Buffer
	b.WriteString(xml.Header)
	if err := xml.NewEncoder(&b).Encode(f); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return documents.New("feed", documents.TypeAtom, documents.ForSeconds, b.Bytes()), nil
}

type incidentsView struct {
	frame
	Open []incidentView
	More int
}

// addIncidents makes what is open of all logs.
func (p *Page) addIncidents(s *snapshot, now, asOf time.Time) error {
	f := p.frame("incidents/", "Incidents", "What is wrong with the audited logs, or with their audit.", asOf)
	v := incidentsView{frame: f, Open: []incidentView{}}
	for _, l := range p.logs {
		sum, _ := l.status(now)
		if sum == nil {
			continue
		}
		open := f.incidents(sum, maxOpen)
		v.More += len(sum.Open.Open) - len(open)
		v.Open = append(v.Open, open...)
	}
	err := s.add("incidents/")(render("incidents.html", "incidents", v))
	if err == nil {
		err = s.add("incidents.json")(documents.JSON("incidents", documents.ForSeconds, map[string]any{"incidents": v.Open, "more": v.More}))
	}
	if err == nil {
		all := p.newFeed("incidents.atom", "Incidents of audited key transparency logs")
		p.addEntries(all, v.Open)
		err = s.add("incidents.atom")(all.document())
	}
	return err
}
