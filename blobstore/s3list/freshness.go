package s3list

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/httpcache"
)

// Freshness tells whether a listing was the log's own answer, or one that a content network had
// kept. Such networks keep empty listings for minutes, so that only a fresh one shows that
// something is not published:
//
//	var f s3list.Freshness
//	objects, _, err := bucket.ListPage(ctx, blob.FirstPageToken, 1000,
//		&blob.ListOptions{Prefix: "7/", BeforeList: f.Watch})
//	absent := err == nil && len(objects) == 0 && f.Fresh()
//
// It is for one listing of any kind of bucket, and is read after that. Kinds that s3list does not
// open have no such network before them; their listings are fresh.
//
// A log's operator decides what the headers say, and may have them say for ever that nothing is
// fresh. A listing that is not fresh is no evidence of absence, but that it never is deserves a
// warning.
type Freshness struct {
	// Answers is how many answers the listing took; 0 for other kinds of bucket.
	Answers int
	// Cached is whether a cache said of any of them that it had kept it.
	Cached bool
	// Age is how long the oldest of them had been kept, as far as the caches say.
	Age time.Duration
	// Cache is what the caches said of the last one, cleaned and at most 100 bytes, for people to
	// read: "Hit from cloudfront". It is empty if there seem to be none.
	Cache string
	// Plain is whether a request went out without the random parameter that keeps caches from
	// knowing it: Options.Plain asked for that, or the server refuses such requests.
	Plain bool
}

// Fresh reports whether no cache said that it had kept the answer. An answer of a cache that hides
// itself looks fresh unless the random parameter, which is on by default, keeps it from having one.
func (f *Freshness) Fresh() bool { return !f.Cached }

// String describes it in a few words.
func (f *Freshness) String() string {
	var s string
	switch {
	case f.Cached && f.Age > 0:
		s = fmt.Sprintf("kept by a cache for %s", f.Age)
	case f.Cached:
		s = "kept by a cache"
	default:
		s = "fresh"
	}
	if f.Cache != "" {
		s += fmt.Sprintf(" (%s)", f.Cache)
	}
	return s
}

// Watch is a BeforeList of blob.ListOptions that has f note the answers. A caller with a BeforeList
// of its own calls it from there.
func (f *Freshness) Watch(as func(any) bool) error {
	as(f)
	return nil
}

// add notes one more answer.
func (f *Freshness) add(h http.Header, plain bool) {
	cached, age, said := httpcache.Read(h)
	f.Answers++
	f.Cached = f.Cached || cached
	f.Age = max(f.Age, age)
	f.Cache = said
	f.Plain = f.Plain || plain
}

// randomParameter is the query parameter that makes each listing's URL a new one to caches, which
// ignore the request's own Cache-Control. Other auditors of the same logs send it, too.
const randomParameter = "cb"

// randomValue is 16 hex digits.
func randomValue() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// refusedFor is how long a server that refused the random parameter is asked without it. It is
// asked with it again because a fault that looked like a refusal must not last.
const refusedFor = time.Hour

// random is whether a bucket's listings are asked for with the random parameter.
type random struct {
	off bool

	mu     sync.Mutex
	until  time.Time // the server refused it, and is asked without it until then
	notify func()    // of the first refusal
}

func (r *random) wanted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.off && !time.Now().Before(r.until)
}

// refused notes that the server answered without the parameter what it had refused with it.
func (r *random) refused() {
	r.mu.Lock()
	if r.notify != nil && r.until.IsZero() {
		defer r.notify()
	}
	defer r.mu.Unlock()
	r.until = time.Now().Add(refusedFor)
}

// Notices tells what a server does that people should know once: see blob.Bucket.As.
type Notices struct{ random *random }

// OnRefusal has a function called once the server refuses the random parameter, which is now or
// within a listing. Its empty listings may be old ones of a cache then.
func (n *Notices) OnRefusal(notify func()) {
	n.random.mu.Lock()
	n.random.notify = notify
	late := !n.random.until.IsZero()
	n.random.mu.Unlock()
	if late {
		notify()
	}
}

// mayRefuse reports whether an answer may mean that the server takes no parameter that it does not
// know: it is about this request, and not for the moment.
func mayRefuse(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && !e.transient && (e.Status >= 400 && e.Status < 500 && e.Status != http.StatusUnauthorized ||
		e.Status == http.StatusNotImplemented)
}
