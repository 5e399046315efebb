package api

import (
	"cmp"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

// Limits bound what requests may take at once and, of posts, how many come in a second. A zero
// field stands for its default.
type Limits struct {
	// Reads, Posts, Summaries, Pages, Bundles and Proofs are how many requests of a class are
	// answered at once; the next one is told to come again. Defaults 512, 256, 64, 8, 4 and 16. One
	// log may have half of the posts.
	Reads, Posts, Summaries, Pages, Bundles, Proofs int
	// PostsPerSecond are how many posts of a log are taken in a second, and at once,
	// ReportsPerSecond how many reports, which may be about any epochs and stay for ever. Defaults
	// 1000 and 10.
	PostsPerSecond, ReportsPerSecond int
}

func (l Limits) withDefaults() Limits {
	l.Reads = cmp.Or(l.Reads, 512)
	l.Posts = cmp.Or(l.Posts, 256)
	l.Summaries = cmp.Or(l.Summaries, 64)
	l.Pages = cmp.Or(l.Pages, 8)
	l.Bundles = cmp.Or(l.Bundles, 4)
	l.Proofs = cmp.Or(l.Proofs, 16)
	l.PostsPerSecond = cmp.Or(l.PostsPerSecond, 1000)
	l.ReportsPerSecond = cmp.Or(l.ReportsPerSecond, 10)
	return l
}

// class is a class of requests, by what they cost.
type class int

const (
	free      class = iota // costs nothing, or enters a class by itself
	reads                  // an object or two
	posts                  // signs
	summaries              // reads many objects, once for all who ask
	pages                  // reads many objects
	bundles                // reads batches, twice
	proofs                 // sends a batch
)

func (l Limits) slots() map[class]slots {
	return map[class]slots{
		reads: make(slots, l.Reads), posts: make(slots, l.Posts), summaries: make(slots, l.Summaries), pages: make(slots, l.Pages),
		bundles: make(slots, l.Bundles), proofs: make(slots, l.Proofs),
	}
}

// slots has as many elements as there are requests under way.
type slots chan struct{}

// enter takes a slot of a class, which leave gives back. It doesn't wait: a client that comes again
// costs less than one that is waiting.
func (a *api) enter(c class) (leave func(), err error) {
	if c == free {
		return func() {}, nil
	}
	return a.slots[c].enter()
}

func (s slots) enter() (leave func(), err error) {
	select {
	case s <- struct{}{}:
		return func() { <-s }, nil
	default:
		return nil, &problem{kind: kindBusy, detail: "too many requests of this kind are under way", retryAfter: time.Second}
	}
}

// enterPost is enter for the posts of a log, which leaves room for other logs.
func (a *api) enterPost(namespace string) (leave func(), err error) {
	own, _ := a.posts.LoadOrStore(namespace, make(slots, (a.c.Limits.Posts+1)/2))
	leaveOwn, err := own.(slots).enter()
	if err != nil {
		return nil, err
	}
	leaveAll, err := a.enter(posts)
	if err != nil {
		leaveOwn()
		return nil, err
	}
	return func() { leaveAll(); leaveOwn() }, nil
}

// rates bounds how many posts come in a second, by namespace. Only names of namespaces get here.
type rates struct {
	limit int
	mu    sync.Mutex
	of    map[string]*rate.Limiter
}

func (r *rates) take(namespace string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[string]*rate.Limiter{}
	}
	l := r.of[namespace]
	if l == nil {
		l = rate.NewLimiter(rate.Limit(r.limit), r.limit)
		r.of[namespace] = l
	}
	if !l.Allow() {
		return &problem{kind: kindTooMany, detail: "this namespace is posted to too often", retryAfter: time.Second}
	}
	return nil
}

// faultLog logs errors, and only counts them where many come at once.
type faultLog struct {
	log     zerolog.Logger
	message string
	limiter *rate.Limiter
	mu      sync.Mutex
	passed  int
}

func newFaultLog(log zerolog.Logger, message string) *faultLog {
	return &faultLog{log: log, message: message, limiter: rate.NewLimiter(1, 10)}
}

func (f *faultLog) note(r *http.Request, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.limiter.Allow() {
		f.passed++
		return
	}
	e := f.log.Error().Err(err).Str("method", r.Method).Str("path", r.URL.Path)
	if f.passed > 0 {
		e = e.Int("others", f.passed)
		f.passed = 0
	}
	e.Msg(f.message)
}
