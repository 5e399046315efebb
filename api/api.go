package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/summarycache"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// Namespace is a log as the API shows it.
type Namespace struct {
	Name string
	// Disabled: what was signed is shown, and nothing is signed any more.
	Disabled bool
	// Root is where signing begins, if that is configured.
	Root verdict.Anchor
	// First is the first epoch of the audit; 0: the first with a verdict. Anchor is the digest
	// before it, if that is configured.
	First  uint64
	Anchor verdict.Anchor
	// LogDirectory is where clients find the log's proofs. Empty: here, if they are served.
	LogDirectory string
	// Host is the host name under which this log's proofs are served; empty: any.
	Host        string
	Ciphersuite uint32
	// Configuration and VerifyingKeys are what a bundle of evidence is checked with.
	Configuration string
	VerifyingKeys []string
	// Auditor signs the log's digests. Nil: nothing is signed here.
	Auditor *auditor.Auditor
	// Posters are those who may post.
	Posters Posters
	// Proofs opens a batch, unpacked; auditstore.ErrNotFound if it is not kept. Nil: none is
	// served.
	Proofs func(ctx context.Context, epoch uint64, previous, digest string) (io.ReadCloser, error)
}

// Config is what the API needs. All fields must be set but for those that say otherwise.
type Config struct {
	Store *auditstore.Store
	// Namespaces returns the present ones, for each request.
	Namespaces func() []Namespace
	// Keys are the keys that sign, did, or will; none where nothing is signed.
	Keys []auditor.Key
	// URL is the origin by which clients reach the API.
	URL string
	// Software is what bundles of evidence say that they were made by.
	Software string
	// Signed is called after a post's signature is on record, again for a post that is repeated. It
	// must not block. It may be nil.
	Signed func(namespace string, epoch uint64)
	// Report puts on record that a log signed a digest itself; it is durable when it returns.
	// ErrReportsFull: no more is kept of the epoch. Nil: reports are refused.
	Report func(ctx context.Context, namespace string, r Report) error
	// Manage adds and changes namespaces. Nil: that is left to the configuration.
	Manage *Manage
	// Observe is called after each request. It may be nil.
	Observe func(Request)
	Limits  Limits
	Log     zerolog.Logger
}

// Manage is how namespaces are added and changed over the API.
type Manage struct {
	// Who may do so.
	Who Posters
	// Create adds a namespace; ErrExists if there is one of that name.
	Create func(ctx context.Context, n client.NewNamespace) error
	// Disable has a namespace sign nothing any more. To repeat it is no error.
	Disable func(ctx context.Context, name string) error
}

var (
	// ErrExists: there is a namespace of that name.
	ErrExists = errors.New("there is a namespace of that name")
	// ErrReportsFull: as many reports on the epoch are on record as are kept.
	ErrReportsFull = errors.New("no more reports on the epoch are kept")
)

// Request is a request that was answered.
type Request struct {
	Method string // one that the API has, or empty
	Route  string // the pattern of its path, of which there are few; empty for a path that is none
	Status int
	Took   time.Duration
}

type api struct {
	c        Config
	origin   *url.URL
	slots    map[class]slots
	posts    sync.Map // slots, by namespace
	rates    rates
	reported rates
	roots    roots
	heads    summarycache.Cache[*client.LastVerified]
	walks    sync.Map                   // *headWalk, by namespace
	reports  summarycache.Cache[[]byte] // status and incidents, by path
	faults   *faultLog
	reused   *faultLog // digests that logs posted twice
}

// New returns the API's handler.
func New(c Config) (http.Handler, error) {
	a, err := newAPI(c)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	return a.handler(), nil
}

func newAPI(c Config) (*api, error) {
	origin, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return nil, err
	case origin.Scheme != "http" && origin.Scheme != "https" || origin.Host == "" || origin.Path != "" && origin.Path != "/":
		return nil, fmt.Errorf("%q is no origin such as https://auditor.example", c.URL)
	case c.Store == nil:
		return nil, errors.New("no audit store")
	case c.Namespaces == nil:
		return nil, errors.New("no namespaces")
	case c.Manage != nil && (c.Manage.Create == nil || c.Manage.Disable == nil):
		return nil, errors.New("namespaces are to be managed, and nothing creates or disables them")
	}
	if c.Observe == nil {
		c.Observe = func(Request) {}
	}
	if c.Signed == nil {
		c.Signed = func(string, uint64) {}
	}
	c.Limits = c.Limits.withDefaults()
	return &api{
		c: c, origin: origin, slots: c.Limits.slots(), rates: rates{limit: c.Limits.PostsPerSecond},
		reported: rates{limit: c.Limits.ReportsPerSecond},
		faults:   newFaultLog(c.Log, "a request cannot be answered: its client is told to come again"),
		reused:   newFaultLog(c.Log, "a log posted a digest that is signed for another epoch: it is refused, and the log stands still until it posts another"),
	}, nil
}

// namespace returns a request's namespace.
func (a *api) namespace(r *http.Request) (Namespace, error) {
	name := r.PathValue("namespace")
	for _, n := range a.c.Namespaces() {
		if n.Name == name {
			return n, nil
		}
	}
	return Namespace{}, notFound("there is no such namespace")
}
