package page

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/units"
	"github.com/ktaudit/ktaudit/page/documents"
	"github.com/ktaudit/ktaudit/page/summary"
)

//go:embed templates
var templateFiles embed.FS

// templates are parsed when they are first needed.
var templates = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{
		"utc": utc, "n": number, "size": size, "short": short, "stamp": stamp, "plural": plural,
	}).ParseFS(templateFiles, "templates/*.html"))
})

// frame is what all pages have.
type frame struct {
	Title, Description string
	Root               string // the relative URL of the root: "./", "../"
	Canonical          string // the absolute URL, for link previews; empty if that is not known
	Feed               string // of the page, relative; empty: that of all incidents
	AsOf               time.Time
	Worker, Exec, Wasm string // URLs of the check in the browser; empty if it is not built in
	Style, Script      string
	Icon               string

	p *Page
}

// rootOf is the relative URL of the root from a path.
func rootOf(path string) string {
	return cmp.Or(strings.Repeat("../", strings.Count(path, "/")), "./")
}

// frame is that of the page at a path.
func (p *Page) frame(path, title, description string, at time.Time) frame {
	f := frame{Title: title, Description: description, Root: rootOf(path), AsOf: at, p: p}
	if p.c.URL != "" {
		f.Canonical = p.base.JoinPath(path).String()
	}
	f.Style, f.Script, f.Icon = f.asset("style.css"), f.asset("page.js"), f.asset("icon.svg")
	f.Worker, f.Exec, f.Wasm = f.asset("check-worker.js"), f.asset("wasm_exec.js"), f.asset("check.wasm")
	if f.Wasm == "" {
		f.Wasm = f.asset("check.wasm.gz")
	}
	return f
}

// asset is the relative URL of an asset; empty if it is not built in.
func (f frame) asset(name string) string {
	hashed, ok := f.p.assets.paths[name]
	if !ok {
		return ""
	}
	return f.Root + hashed
}

// link is the relative URL of a page; empty if it is not there, as among static files.
func (f frame) link(path string) string {
	if f.p.linked != nil && !f.p.linked(path) {
		return ""
	}
	return f.Root + path
}

// render makes a page of a template.
func render(name, kind string, view any) (*documents.Document, error) {
	var b bytes.Buffer
	if err := templates().ExecuteTemplate(&b, name, view); err != nil {
		return nil, err
	}
	return documents.New(kind, documents.TypeHTML, documents.ForSeconds, b.Bytes()), nil
}

// utc shows a time, for which the script adds the reader's own.
func utc(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	return template.HTML(`<time datetime="` + stamp(t) + `">` + t.UTC().Format("2006-01-02 15:04:05") + ` UTC</time>`) // digits only
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func number(v any) string { return summary.Number(v) }

// size shows a number of bytes.
func size(v any) string {
	n, _ := strconv.ParseFloat(fmt.Sprint(v), 64)
	for _, u := range []string{"B", "kB", "MB", "GB"} {
		if n < 1000 {
			if u == "B" || n >= 100 {
				return fmt.Sprintf("%.0f %s", n, u)
			}
			return fmt.Sprintf("%.1f %s", n, u)
		}
		n /= 1000
	}
	return fmt.Sprintf("%.1f TB", n)
}

// short is the beginning of a digest.
func short(digest string) string {
	if len(digest) <= 16 {
		return digest
	}
	return digest[:16] + "…"
}

func plural(count any, one string, more ...string) string {
	if fmt.Sprint(count) == "1" {
		return number(count) + " " + one
	}
	return number(count) + " " + slices.Concat(more, []string{one + "s"})[0]
}

// logView is what the overview and a log's page show of a log.
type logView struct {
	Name      string
	Link      string // of its page
	State     string
	StateText string
	Unread    time.Time // since when it could not be read; zero if it is
	Facts     []fact
	Strip     stripView
	Newest    []epochRow
	Incidents []incidentView
	MoreOpen  int // incidents beside those that are listed
	Series    []seriesView
	Summary   *summary.Summary // nil while nothing was read
	Directory string
}

// fact is a line of what is known. Field names what changes while it is looked at.
type fact struct {
	Term, Field string
	Text        string
	At          time.Time
	Link        string
}

type epochRow struct {
	summary.Epoch
	Link string
}

// log is what a page shows of a log. newest and open are how many epochs and incidents it lists.
func (f frame) log(l *logState, now time.Time, newest, open int) logView {
	s, unread := l.status(now)
	v := logView{Name: l.log.Name, Link: f.link("logs/" + l.log.Name + "/"), Summary: s, Unread: unread, Directory: l.log.LogDirectory}
	v.State, v.StateText = stateOf(s, unread, now)
	if s == nil {
		return v
	}
	v.Facts = f.facts(s, now)
	for _, e := range s.Newest[:min(len(s.Newest), newest)] {
		v.Newest = append(v.Newest, epochRow{e, f.link(EpochPath(l.log.Name, e.Epoch))})
	}
	v.Incidents = f.incidents(s, open)
	v.MoreOpen = len(s.Open.Open) - len(v.Incidents)
	return v
}

// stateOf is the state of a log at a time. What could not be read is never good.
func stateOf(s *summary.Summary, unread, now time.Time) (state, text string) {
	if s == nil {
		return string(summary.Unread), "What is on record was not read yet."
	}
	st, text := s.State(now)
	if !unread.IsZero() {
		text = "What is on record could not be read since " + unread.UTC().Format("2006-01-02 15:04 UTC") + ". Before that: " + text
		if st != summary.Wrong {
			st = summary.Unread
		}
	}
	return string(st), text
}

func (f frame) facts(s *summary.Summary, now time.Time) []fact {
	facts := []fact{{Term: "Verified up to", Field: "head", Text: "no epoch yet"}}
	if s.Status.Head > 0 {
		facts[0].Text, facts[0].Link = "epoch "+number(s.Status.Head), f.link(EpochPath(s.Log.Name, s.Status.Head))
		facts = append(facts, fact{Term: "Judged at", Field: "head-at", At: s.Head.FinishedAt})
	}
	if len(s.Newest) > 0 {
		facts = append(facts, fact{Term: "Newest verdict", Field: "newest", Text: "epoch " + number(s.Newest[0].Epoch), At: s.Newest[0].FinishedAt,
			Link: f.link(EpochPath(s.Log.Name, s.Newest[0].Epoch))})
	}
	facts = append(facts, fact{Term: "Behind", Field: "lag", Text: lagText(s, now)})
	if len(s.Status.HeldBackBy) > 0 {
		facts = append(facts, fact{Term: "Held back by", Text: "the incident " + s.Status.HeldBackBy})
	}
	return facts
}

// lagText says how far the audit is behind what it knows of the log. The audit store does not say
// what the log published since its names were last listed.
func lagText(s *summary.Summary, now time.Time) string {
	if s.IsPart() {
		return "not known yet: " + s.UnreadText() + " on record were not read yet"
	}
	if s.SeenTo() == 0 {
		return "not known: no epoch of the log is on record"
	}
	text := plural(s.Lag(), "epoch") + " that the log is known to have published"
	if s.Lag() == 0 {
		text = "none of the epochs that the log is known to have published"
	} else if judged := s.Judged.Count(s.Status.Head+1, s.SeenTo()); judged > 0 {
		text += ", of which " + number(judged) + " have a verdict"
	}
	if s.Chain != nil && !s.Chain.WalkedAt.IsZero() {
		text += "; its names were listed " + units.DurationText(now.Sub(s.Chain.WalkedAt).Round(time.Minute)) + " ago"
	}
	return text
}

// incidentView is an incident, and where its epoch is.
type incidentView struct {
	summary.Incident
	Link string `json:"-"`
}

func (f frame) incidents(s *summary.Summary, limit int) []incidentView {
	return f.incidentViews(s.Incidents(limit))
}

func (f frame) incidentViews(all []summary.Incident) []incidentView {
	views := []incidentView{}
	for _, i := range all {
		v := incidentView{Incident: i}
		if i.From > 0 && i.From == i.To {
			v.Link = f.link(EpochPath(i.Namespace, i.From))
		}
		views = append(views, v)
	}
	return views
}

// EpochPath is the path of an epoch's page, RangePath that of a range of epochs.
func EpochPath(namespace string, epoch uint64) string {
	return fmt.Sprintf("logs/%s/epochs/%d/", namespace, epoch)
}

// RangePath is beside EpochPath.
func RangePath(namespace string, from, to uint64) string {
	return fmt.Sprintf("logs/%s/range/%d-%d/", namespace, from, to)
}
