package s3list

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/s3listing"
	"gocloud.dev/blob/driver"
)

const (
	maxPage = 1000 // what S3 lists at most
	// maxEmptyPages is how many pages in a row may be empty though more follow. S3 sends such pages
	// where many objects were deleted.
	maxEmptyPages = 16
)

// pageToken is where a page begins.
type pageToken struct {
	Continuation string `json:"c,omitempty"` // S3's own, which it prefers
	After        string `json:"a,omitempty"` // the last key before
}

// After returns the page token with which blob.Bucket.ListPage begins after a key. It takes the
// whole key, also in a bucket that was opened with a prefix.
//
// A walk of a whole bucket calls ListPage with pages of 1,000 and the token of the page before, one
// request each, and holds one page. To go on in another process it keeps the last key, not the
// token, which the server chose.
func After(key string) []byte { return pageToken{After: key}.encode() }

func (t pageToken) encode() []byte {
	b, err := json.Marshal(t)
	if err != nil {
		panic(err) // two strings
	}
	return b
}

func parseToken(b []byte) (t pageToken, err error) {
	if len(b) == 0 {
		return t, nil
	}
	if err := json.Unmarshal(b, &t); err != nil || t == (pageToken{}) {
		return t, &Error{Err: errToken}
	}
	return t, nil
}

// ListPaged lists a page. It may be longer than requested if a content delivery network does not
// forward max-keys to S3.
func (b *bucket) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	page, err := patiently(ctx, b.client.options, func(ctx context.Context) (*driver.ListPage, error) { return b.list(ctx, o) })
	return page, annotate(err, "list", o.Prefix)
}

func (b *bucket) list(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	token, err := parseToken(o.PageToken)
	if err != nil {
		return nil, err
	}
	by := watchers{freshness: &Freshness{}, answers: &Answers{}} // the caller's, if it wants to know
	if o.BeforeList != nil {
		err := o.BeforeList(by.as)
		if err != nil {
			return nil, err
		}
	}
	for range maxEmptyPages {
		page, err := retry(ctx, b.client.options, func() (*driver.ListPage, error) { return b.listOnce(ctx, o, &token, by) })
		if err != nil || len(page.Objects) > 0 || page.NextPageToken == nil {
			return page, err
		}
	}
	return nil, malformed("%d empty pages, and no end", maxEmptyPages)
}

// listOnce lists one page from token on, and advances token.
func (b *bucket) listOnce(ctx context.Context, o *driver.ListOptions, token *pageToken, by watchers) (*driver.ListPage, error) {
	plain := !b.client.random.wanted()
	answer, err := b.ask(ctx, o, *token, plain)
	if !plain && mayRefuse(err) {
		if without, failed := b.ask(ctx, o, *token, true); failed == nil {
			// Once more, lest a fault of a moment leave us to what caches keep.
			if answer, err = b.ask(ctx, o, *token, false); mayRefuse(err) {
				answer, err, plain = without, nil, true
				b.client.random.refused()
			}
		}
	}
	if err != nil {
		return nil, err
	}
	l := answer.listing
	page := &driver.ListPage{}
	if page.Objects, err = entriesFor(l, o.Prefix, o.Delimiter, token.After); err != nil {
		return nil, err
	}
	if n := len(page.Objects); n > 0 {
		token.After = page.Objects[n-1].Key
	}
	if l.Truncated {
		if l.Token == token.Continuation {
			return nil, malformed("the page after this one is this one")
		}
		token.Continuation = l.Token
		page.NextPageToken = token.encode()
	}
	by.freshness.add(answer.Header, plain)
	by.answers.All = append(by.answers.All, answer.Answer)
	return page, nil
}

// answer is a listing and what it was read from.
type answer struct {
	Answer
	listing s3listing.Listing
}

// ask requests a page. A plain request has no random parameter.
func (b *bucket) ask(ctx context.Context, o *driver.ListOptions, token pageToken, plain bool) (answer, error) {
	// XML cannot hold all keys unescaped, hence the encoding.
	q := url.Values{"list-type": {"2"}, "encoding-type": {"url"}, "prefix": {o.Prefix}}
	if o.Delimiter != "" {
		q.Set("delimiter", o.Delimiter)
	}
	if o.PageSize > 0 && o.PageSize < maxPage {
		q.Set("max-keys", strconv.Itoa(o.PageSize))
	}
	if token.Continuation != "" {
		q.Set("continuation-token", token.Continuation)
	} else if token.After != "" {
		q.Set("start-after", token.After)
	}
	if !plain {
		q.Set(randomParameter, randomValue())
	}
	target := b.client.listing(q)
	e, err := b.client.send(ctx, http.MethodGet, target, nil, http.StatusOK)
	if err != nil {
		return answer{}, err
	}
	defer e.close()
	defer time.AfterFunc(b.client.options.ListTimeout, e.cancel).Stop()
	if encoding := e.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return answer{}, malformed("content encoding %.40q, which nobody asked for", encoding)
	}
	body, err := io.ReadAll(io.LimitReader(e, s3listing.MaxBytes+1))
	if err != nil {
		return answer{}, err
	}
	l, err := s3listing.Parse(body)
	if errors.Is(err, io.ErrUnexpectedEOF) { // it may come whole next time
		return answer{}, broken(fmt.Errorf("%w: %w", ErrMalformed, err))
	} else if err != nil {
		return answer{}, malformed("%w", err)
	}
	return answer{Answer{target, time.Now().UTC(), e.Header, body}, l}, nil
}

// entriesFor checks that a listing answers the request, and returns its entries in order. A content
// delivery network that does not forward the query, or answers from its cache, must not make a log
// look empty or endless.
func entriesFor(l s3listing.Listing, prefix, delimiter, after string) ([]*driver.ListObject, error) {
	if l.Prefix != prefix || l.Delimiter != delimiter {
		return nil, malformed("asked for prefix %q and delimiter %q, answered for %.100q and %.40q", prefix, delimiter, l.Prefix, l.Delimiter)
	}
	objects := make([]*driver.ListObject, 0, len(l.Objects)+len(l.Folders))
	for _, o := range l.Objects {
		objects = append(objects, &driver.ListObject{Key: o.Key, Size: o.Size, ModTime: o.ModTime, AsFunc: plainETag(o.ETag).as})
	}
	for _, f := range l.Folders {
		objects = append(objects, &driver.ListObject{Key: f.Key, IsDir: true})
	}
	for _, o := range objects {
		rest, ok := strings.CutPrefix(o.Key, prefix)
		folder := -1 // how long it would be
		if i := strings.Index(rest, delimiter); delimiter != "" && i >= 0 {
			folder = i + len(delimiter)
		}
		if !ok || o.Key == "" || o.IsDir && folder != len(rest) || !o.IsDir && folder >= 0 {
			return nil, malformed("entry %.100q in an answer to prefix %q and delimiter %q", o.Key, prefix, delimiter)
		}
	}
	slices.SortStableFunc(objects, func(a, b *driver.ListObject) int { return strings.Compare(a.Key, b.Key) })
	for _, o := range objects {
		// The key to begin after may lie within a folder, which S3 lists if it holds later keys.
		if within := o.IsDir && len(after) > len(o.Key) && strings.HasPrefix(after, o.Key); o.Key <= after && !within {
			return nil, malformed("entry %.100q, though the one before was %.100q", o.Key, after)
		}
		after = max(after, o.Key)
	}
	return objects, nil
}
