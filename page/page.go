package page

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ktaudit/ktaudit/page/documents"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/page/summary"
	"github.com/ktaudit/ktaudit/verdict"
)

// Config is what a page needs. All fields must be set but for those that say otherwise.
type Config struct {
	Store *auditstore.Store
	Logs  []summary.Log
	// URL is where the page will be found, for feeds and link previews: an origin, and a path for
	// static files. Empty: these have relative links.
	URL string
	// Statement returns the signed statement on the digest of an epoch that is verified; nil bytes:
	// there is none of the log. Nil: there are no statements.
	Statement func(namespace string, v verdict.Verdict) ([]byte, error)
	// Every is the time between two rounds of reading; 0: summary.Every.
	Every time.Duration
	// Streams is how many visitors may follow the events at once; 0: 256.
	Streams int
	// Observe is called after each request, with the kind of document. It may be nil.
	Observe func(kind string, status int, took time.Duration)
	// Now is the clock. Nil is time.Now.
	Now func() time.Time
	Log zerolog.Logger
}

// What visitors together may cost beside the summaries.
const (
	// readsPerSecond are requests to the audit store for epochs, searches and proofs; readsAtOnce
	// are those that may come together.
	readsPerSecond, readsAtOnce = 10, 200
	// filesPerSecond are those for the verdict logs as plain files, which are kept in memory.
	filesPerSecond, filesAtOnce = 20, 400
	// maxRendering is how many documents are made at once.
	maxRendering = 16
)

// MaxVisitorRequests is how many requests a minute all visitors together cause at most, beside what
// may come at once after a quiet time.
const MaxVisitorRequests = 60 * (readsPerSecond + filesPerSecond)

// Page is the public page of some logs. Run keeps it up to date; it may be asked meanwhile.
type Page struct {
	c        Config
	base     *url.URL
	assets   assets
	logs     []*logState // in the order of the configuration
	current  atomic.Pointer[snapshot]
	publish  sync.Mutex // of a snapshot
	hub      *documents.Hub
	reads    *rate.Limiter
	files    *rate.Limiter
	slots    chan struct{}
	epochs   *documents.Cache[*summary.Record]
	plain    *documents.Cache[[]byte]
	rendered *documents.Cache[*documents.Document]
	faults   *rate.Limiter
	linked   func(path string) bool // nil: everything is
	now      func() time.Time
}

// logState is what is known of a log.
type logState struct {
	log    summary.Log
	reader *summary.Reader
	mu     sync.Mutex
	last   *summary.Summary // the last that could be made; nil: none yet
	failed time.Time        // since when none could be; zero: the last could
	begun  time.Time
}

// New returns a page that has read nothing yet.
func New(c Config) (*Page, error) {
	if c.Store == nil {
		return nil, errors.New("page: no audit store")
	}
	base, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	if c.Every == 0 {
		c.Every = summary.Every
	}
	if c.Streams == 0 {
		c.Streams = 256
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Observe == nil {
		c.Observe = func(string, int, time.Duration) {}
	}
	p := &Page{
		c: c, base: base, hub: documents.NewHub(c.Streams), now: c.Now,
		reads: rate.NewLimiter(readsPerSecond, readsAtOnce), files: rate.NewLimiter(filesPerSecond, filesAtOnce),
		slots: make(chan struct{}, maxRendering), faults: rate.NewLimiter(rate.Every(10*time.Second), 5),
		epochs: documents.NewCache[*summary.Record](2000), plain: documents.NewCache[[]byte](2000), rendered: documents.NewCache[*documents.Document](500),
	}
	if p.assets, err = loadAssets(); err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	for _, log := range c.Logs {
		p.logs = append(p.logs, &logState{log: log, reader: summary.NewReader(c.Store, log), begun: p.now()})
	}
	return p, p.update()
}

// roundTimeout bounds a round of reading.
const roundTimeout = time.Minute

// Run reads what changes until ctx ends. Each log is read by itself: one that cannot be read, or
// takes long, holds up no other.
func (p *Page) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, l := range p.logs {
		all.Go(func() {
			for ctx.Err() == nil {
				p.Round(ctx, l.log.Name)
				_ = wait.For(ctx, p.c.Every)
			}
		})
	}
	all.Go(func() { // a log that hangs is to be seen to
		for wait.For(ctx, p.c.Every) == nil {
			if err := p.update(); err != nil {
				p.fault("making the page", err)
			}
		}
	})
	all.Wait()
	p.hub.Close()
	return nil
}

// Round reads a log once, and makes its pages anew. It returns why it could not, which is shown as
// well. One goroutine at a time may do so for a log.
func (p *Page) Round(ctx context.Context, namespace string) error {
	l := p.find(namespace)
	if l == nil {
		return fmt.Errorf("there is no log %q", namespace)
	}
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	s, err := recovered(func() (*summary.Summary, error) { return l.reader.Round(ctx, p.now()) })
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return err
	}
	l.mu.Lock()
	switch {
	case err == nil:
		l.last, l.failed = s, time.Time{}
	case l.failed.IsZero():
		l.failed = p.now()
	}
	l.mu.Unlock()
	if err != nil {
		p.fault("reading what is on record for the page", err)
	}
	return errors.Join(err, p.update())
}

func (p *Page) find(namespace string) *logState {
	for _, l := range p.logs {
		if l.log.Name == namespace {
			return l
		}
	}
	return nil
}

func (p *Page) fault(what string, err error) {
	if p.faults.Allow() {
		p.c.Log.Error().Err(err).Msg(what + " failed: the page says so, and tries again")
	}
}

// unreadAfter is how old a summary may be before the page says that it could not be read.
const unreadAfter = 2 * time.Minute

// status returns the last summary of a log, nil if there is none, and since when what is on record
// could not be read.
func (l *logState) status(now time.Time) (s *summary.Summary, unread time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	unread = l.failed
	switch {
	case !unread.IsZero():
	case l.last == nil:
		unread = l.begun
	case now.Sub(l.last.ReadAt) > unreadAfter:
		unread = l.last.ReadAt
	}
	return l.last, unread
}

// recovered has a defect end what it is in, and not the process.
func recovered[T any](do func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return do()
}

// ErrNoDocument says that there is no page at a path.
var ErrNoDocument = errors.New("there is no page at this path")

// errOld says that the pages could not be made anew for a while. What they said then, such as that
// nothing is wrong, must not be shown as if it held now.
var errOld = errors.New("the pages are too old to be shown")

// errBusy says that visitors have caused as many requests as they may: come again.
var errBusy = errors.New("too many pages are being made")

// spend takes requests to the audit store from what visitors may cause.
func (p *Page) spend(limiter *rate.Limiter, requests int) error {
	if limiter != nil && !limiter.AllowN(p.now(), requests) {
		return errBusy
	}
	return nil
}

var _ http.Handler = (*Page)(nil)
