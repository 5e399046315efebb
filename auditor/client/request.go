package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/patience"
	"github.com/ktaudit/ktaudit/internal/resume"
	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/internal/wait"
)

const (
	// An answer may bring nothing for grace, must come at minRate later, and all attempts at one
	// take no longer than total.
	grace   = 40 * time.Second
	minRate = 16 << 10
	total   = 2 * time.Minute

	maxPause     = 20 * time.Second // the longest Retry-After that is waited for here
	maxAfter     = time.Hour
	maxErrorBody = 16 << 10
	maxShown     = 80
	maxShownURL  = 300
)

// ask gets an answer in JSON, and checks that it makes sense.
func ask[T any, P interface {
	*T
	check() error
}](ctx context.Context, c *Client, limit int64, segments ...string) (T, error) {
	var answer, none T
	body, contentType, err := c.get(ctx, limit, segments...)
	if err != nil {
		return none, err
	}
	if err = Decode(body, &answer); err == nil {
		err = P(&answer).check()
	}
	if err != nil {
		return none, c.malformed(segments, body, contentType, err)
	}
	return answer, nil
}

// malformed shows an answer that is none, and why.
func (c *Client) malformed(segments []string, body []byte, contentType string, why error) error {
	return fmt.Errorf("%w: %s answered %q of type %q: %s", ErrMalformed, c.path(segments),
		text.Clean(string(body[:min(len(body), 2*maxShown)]), maxShown), text.Clean(contentType, maxShown), text.Clean(why.Error(), 2*maxShown))
}

// path is the URL of a question.
func (c *Client) path(segments []string) string {
	u := c.base.String()
	for _, s := range segments {
		u += "/" + url.PathEscape(s)
	}
	return u
}

// get asks until there is an answer, or a fault that asking again will not mend.
func (c *Client) get(caller context.Context, limit int64, segments ...string) (body []byte, contentType string, err error) {
	ctx, p := patience.New(caller, patience.Limits{Grace: grace, MinRate: minRate, Total: total})
	defer p.Close()
	at := c.path(segments)
	attempts := resume.NewBody(c.config.Attempts, c.config.Backoff)
	p.Start()
	for {
		body, contentType, err = c.getOnce(ctx, at, limit)
		if err == nil || !mayPass(err) || ctx.Err() != nil || !attempts.Failed() {
			return body, contentType, c.explain(caller, ctx, p, at, err)
		}
		p.Note(err)
		if refused, ok := errors.AsType[*StatusError](err); ok && refused.After > 0 {
			if refused.After > maxPause || wait.For(ctx, refused.After) != nil {
				return nil, "", c.explain(caller, ctx, p, at, err)
			}
		} else if attempts.Wait(ctx) != nil {
			return nil, "", c.explain(caller, ctx, p, at, err)
		}
	}
}

// explain returns the caller's own end as it is, and says where any other error happened.
func (c *Client) explain(caller, ctx context.Context, p *patience.Patience, at string, err error) error {
	if err == nil {
		return nil
	}
	if caller.Err() != nil {
		return caller.Err()
	}
	if slow := p.Exceeded(ctx); slow != nil {
		err = slow
	}
	if _, ok := errors.AsType[*StatusError](err); ok {
		return err // it says where
	}
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err // at is said anyhow
	}
	return &requestError{text.Clean(at, maxShownURL), err}
}

// requestError is a request that failed, in words that are fit to be printed.
type requestError struct {
	at  string
	err error
}

func (e *requestError) Error() string { return text.Clean(e.at+": "+e.err.Error(), 2*maxShownURL) }
func (e *requestError) Unwrap() error { return e.err }

// mayPass reports whether asking again may help.
func mayPass(err error) bool {
	if refused, ok := errors.AsType[*StatusError](err); ok {
		return refused.MayPass()
	}
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	return !certificate && !errors.Is(err, errRedirect) && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrMalformed)
}

func (c *Client) getOnce(ctx context.Context, at string, limit int64) (body []byte, contentType string, err error) {
	response, err := c.send(ctx, at, "application/json")
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, limit+1))
	switch {
	case err != nil:
		return nil, "", err
	case int64(len(body)) > limit:
		return nil, "", fmt.Errorf("%w: over %d bytes", ErrMalformed, limit)
	}
	return body, response.Header.Get("Content-Type"), nil
}

// send makes one request. An answer that it returns has status 200.
func (c *Client) send(ctx context.Context, at, accept string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", c.config.UserAgent)
	request.Header.Set("Accept", accept)
	if accept != "application/json" {
		// Limits are of the stored bytes, and net/http must not decompress.
		request.Header.Set("Accept-Encoding", "identity")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotFound {
		return nil, ErrNotFound
	}
	said, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorBody)) // the status counts
	return nil, &StatusError{
		URL: at, Status: response.StatusCode, Detail: detail(said),
		After: wait.RetryAfter(response.Header.Get("Retry-After"), time.Now(), maxAfter),
	}
}

// detail is what the body of an error says for people, by RFC 9457 or in a line of plain text.
func detail(body []byte) string {
	var problem struct{ Title, Detail string }
	if json.Unmarshal(body, &problem) == nil {
		return text.Clean(strings.Trim(problem.Title+": "+problem.Detail, ": "), 2*maxShown)
	}
	if line := bytes.TrimSpace(body); len(line) <= 2*maxShown && !bytes.ContainsAny(line, "<\n") {
		return text.Clean(string(line), 2*maxShown)
	}
	return "" // a page
}
