package fetcher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/s3list"
	"github.com/ktaudit/ktaudit/internal/text"
	"gocloud.dev/blob"
)

const (
	// maxKeptListings is how many listings are kept, maxListedObjects how many objects of each.
	maxKeptListings  = 8
	maxListedObjects = 100
	// maxKeptBody is how many bytes of all answers of a listing are kept, maxKeptHeader how long a
	// header's value may be, and maxKeptHeaders how many there may be.
	maxKeptBody    = 256 << 10
	maxKeptHeader  = 1 << 10
	maxKeptHeaders = 64
)

// Listing is one listing of an epoch's objects as it was answered. Its JSON is kept as evidence.
type Listing struct {
	Epoch uint64    `json:"epoch"`
	At    time.Time `json:"at"`
	// Answers are those of a public log's server; other kinds of bucket have none.
	Answers []Answer `json:"answers,omitempty"`
	// Objects are the first ones in the order of the listing, More is how many others there were.
	Objects []ListedObject `json:"objects"`
	More    int            `json:"more,omitempty"`
	// Error is why it is not whole, if it is not.
	Error string `json:"error,omitempty"`
}

// Answer is one answer of a server. Its body is left out if it is too long.
type Answer struct {
	URL         string              `json:"url"`
	At          time.Time           `json:"at"`
	Header      map[string][]string `json:"header,omitempty"`
	Body        []byte              `json:"body,omitempty"`
	BodyBytes   int                 `json:"body_bytes"`
	BodySHA256  string              `json:"body_sha256"`
	HeadersLeft int                 `json:"headers_left_out,omitempty"`
}

// ListedObject is an object as it was listed. Its key is safe to show.
type ListedObject struct {
	Key        string    `json:"key"`
	Size       int64     `json:"size"`
	ModifiedAt time.Time `json:"modified_at"`
	ETag       string    `json:"etag,omitempty"`
}

// Listings keeps the listings that a Fetcher makes under a context of RecordListings: the first and
// the last ones, in bounded memory. The zero value has none.
type Listings struct {
	mu  sync.Mutex
	all []Listing
}

// All returns the listings, in order.
func (l *Listings) All() []Listing {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

type listingsKey struct{}

// RecordListings returns a context under which listings are kept in l.
func RecordListings(ctx context.Context, l *Listings) context.Context {
	return context.WithValue(ctx, listingsKey{}, l)
}

// recordingOf returns the listing to fill in, and what to call when it has ended.
func recordingOf(ctx context.Context, epoch uint64) (r *recording, end func(error)) {
	l, _ := ctx.Value(listingsKey{}).(*Listings)
	if l == nil {
		return nil, func(error) {}
	}
	r = &recording{listing: Listing{Epoch: epoch, At: time.Now().UTC()}, left: maxKeptBody}
	return r, func(err error) {
		if err != nil {
			r.listing.Error = text.Clean(err.Error(), maxCause)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.all) == maxKeptListings {
			l.all = slices.Delete(l.all, 1, 2)
		}
		l.all = append(l.all, r.listing)
	}
}

// recording is a listing that is being made. A nil recording keeps nothing.
type recording struct {
	listing Listing
	left    int // of the bytes of bodies
}

// page keeps one page, and the answers that it was read from.
func (r *recording) page(objects []*blob.ListObject, answers s3list.Answers) {
	if r == nil {
		return
	}
	for _, a := range answers.All {
		sum := sha256.Sum256(a.Body)
		kept := Answer{URL: a.URL, At: a.At, BodyBytes: len(a.Body), BodySHA256: hex.EncodeToString(sum[:])}
		kept.Header, kept.HeadersLeft = boundedHeader(a.Header)
		if len(a.Body) <= r.left {
			kept.Body = a.Body
			r.left -= len(a.Body)
		}
		r.listing.Answers = append(r.listing.Answers, kept)
	}
	for _, o := range objects {
		if len(r.listing.Objects) == maxListedObjects {
			r.listing.More++
			continue
		}
		var etag s3list.ETag
		o.As(&etag)
		r.listing.Objects = append(r.listing.Objects, ListedObject{
			Key: text.Clean(o.Key, maxKeyLength), Size: o.Size, ModifiedAt: o.ModTime.UTC(), ETag: string(shortETag(etag)),
		})
	}
}

// boundedHeader is a header in bounded memory, and how many of its lines were left out.
func boundedHeader(h http.Header) (kept map[string][]string, left int) {
	kept = map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if len(kept) == maxKeptHeaders {
			left++
			continue
		}
		values := h[name]
		for _, value := range values[:min(len(values), maxKeptHeaders)] {
			kept[name] = append(kept[name], text.Clean(value, maxKeptHeader))
		}
	}
	return kept, left
}
