package s3list

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/ktaudit/ktaudit/internal/patience"
	"github.com/ktaudit/ktaudit/internal/resume"
)

const (
	maxRedirects = 3
	maxHeader    = 64 << 10
	// maxAsking is how long a listing or a look at an object's headers may take, however fast.
	maxAsking = 2 * time.Minute
)

// client sends requests to one bucket's host.
type client struct {
	base    *url.URL
	host    *host
	http    *http.Client
	options Options
	random  *random
}

func newClient(base *url.URL, o Options) *client {
	c := &client{base: base, options: o, random: &random{off: o.Plain}}
	c.host = join(c, base, o.Rate)
	// No jar: no cookies. The client follows redirects through the transport, so that the rate
	// limits them as well.
	c.http = &http.Client{Transport: &limited{c: c, next: newTransport(o)}, CheckRedirect: c.checkRedirect}
	return c
}

func (c *client) close() {
	c.http.CloseIdleConnections()
	c.host.leave(c)
}

func newTransport(o Options) *http.Transport {
	dialer := net.Dialer{Timeout: o.ConnectTimeout, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        o.tls,
		TLSHandshakeTimeout:    o.ConnectTimeout,
		ResponseHeaderTimeout:  o.HeaderTimeout,
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        90 * time.Second,
		ForceAttemptHTTP2:      true,
		// Without pings a dead connection would stay in use.
		HTTP2: &http.HTTP2Config{SendPingTimeout: o.IdleTimeout},
	}
}

// checkRedirect keeps redirects on the log's host, or on those that the options list, and within
// https. Only a plain http test server may send to plain http.
func (c *client) checkRedirect(to *http.Request, via []*http.Request) error {
	from := via[0].URL
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("%w: more than %d in a row", errRedirect, maxRedirects)
	case to.URL.User != nil:
		return fmt.Errorf("%w: to a URL with credentials", errRedirect)
	case to.URL.Scheme != "https" && (from.Scheme != "http" || to.URL.Scheme != "http"):
		return fmt.Errorf("%w: from %s://%s to %.20q at %.200q", errRedirect, from.Scheme, from.Host, to.URL.Scheme, to.URL.Host)
	case !c.mayRedirect(from, to.URL):
		return fmt.Errorf("%w: from %s to another host, %.200q; if the log's files are there, add redirects=HOST to its URL",
			errRedirect, from.Host, to.URL.Host)
	}
	to.Header.Del("Referer") // net/http adds it
	return nil
}

// mayRedirect reports whether a redirect stays on the host or goes to one that the options list. A
// host that moves from http to https stays the same.
func (c *client) mayRedirect(from, to *url.URL) bool {
	target := hostName(to)
	upgraded := *from
	upgraded.Scheme = to.Scheme
	if target == hostName(from) || from.Scheme == "http" && to.Scheme == "https" && target == hostName(&upgraded) {
		return true
	}
	return slices.ContainsFunc(c.options.Redirects, func(listed string) bool {
		return target == hostName(&url.URL{Scheme: to.Scheme, Host: listed})
	})
}

// limited is a transport that keeps to the host's rate and says who sends the request.
type limited struct {
	c    *client
	next *http.Transport
}

// RoundTrip counts requests to where the host redirects as requests to the host.
func (t *limited) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.c.host.wait(r.Context(), t.c.options.MaxPause); err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", t.c.options.userAgent())
	// Lengths and ranges are of the stored bytes, and net/http must not decompress.
	r.Header.Set("Accept-Encoding", "identity")
	return t.next.RoundTrip(r)
}

// CloseIdleConnections is called by http.Client.CloseIdleConnections.
func (t *limited) CloseIdleConnections() { t.next.CloseIdleConnections() }

// exchange is a request that was answered with one of the expected statuses. Its close ends the
// body.
type exchange struct {
	*http.Response
	parent context.Context // the caller's
	cancel context.CancelFunc
	idle   *time.Timer
	limit  time.Duration
}

// send makes one attempt. Other statuses than those expected are errors.
func (c *client) send(parent context.Context, method, target string, header http.Header, expected ...int) (*exchange, error) {
	ctx, cancel := context.WithCancel(parent)
	r, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	response, err := c.http.Do(r)
	if err != nil {
		cancel()
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the URL, which is long and says nothing new
		}
		return nil, connectionError(parent, err)
	}
	e := &exchange{Response: response, parent: parent, cancel: cancel, limit: c.options.IdleTimeout}
	e.idle = time.AfterFunc(e.limit, cancel)
	e.idle.Stop() // the caller may take its time between reads
	if slices.Contains(expected, response.StatusCode) {
		return e, nil
	}
	defer e.close()
	c.host.heed(response.Header)
	return nil, statusError(response.StatusCode, e)
}

// Read reads the body. A body that stalls is an error, like a broken connection.
func (e *exchange) Read(p []byte) (int, error) {
	e.idle.Reset(e.limit)
	n, err := e.Body.Read(p)
	e.idle.Stop()
	patience.Of(e.parent).Earn(n)
	if err != nil && err != io.EOF {
		err = connectionError(e.parent, err)
	}
	return n, err
}

func (e *exchange) close() {
	e.idle.Stop()
	e.cancel()
	_ = e.Body.Close() // Read has reported its errors
}

// retry makes attempts until one succeeds, fails for good, or was the last.
func retry[T any](ctx context.Context, o Options, attempt func() (T, error)) (T, error) {
	result, err := backoff.Retry(ctx, func() (T, error) {
		result, err := attempt()
		patience.Of(ctx).Note(err)
		if err != nil && !isTransient(err) {
			err = backoff.Permanent(err)
		}
		return result, err
	}, backoff.WithBackOff(resume.Waits(o.Backoff)), backoff.WithMaxTries(uint(o.Attempts)), backoff.WithMaxElapsedTime(0))
	if err != nil && ctx.Err() != nil {
		return result, ctx.Err()
	}
	return result, err
}

// patiently makes attempts with the options' patience, for what is read in one go.
func patiently[T any](caller context.Context, o Options, attempts func(context.Context) (T, error)) (T, error) {
	ctx, p := patience.New(caller, o.limits(maxAsking))
	defer p.Close()
	p.Start()
	result, err := attempts(ctx)
	return result, explain(ctx, p, err)
}

// explain returns err, or what is to be said instead of it if the patience has ended.
func explain(ctx context.Context, p *patience.Patience, err error) error {
	if err != nil {
		if slow := p.Exceeded(ctx); slow != nil {
			return &Error{Err: slow}
		}
	}
	return err
}

func isTransient(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.transient
}

// object is the URL of an object. Everything is escaped but letters, digits and -_.~, and dots too
// where they would be a "." or "..", which servers and proxies may take for folders.
func (c *client) object(key string) string {
	parts := strings.Split(key, "/")
	for i, part := range parts {
		if strings.Trim(part, ".") == "" {
			parts[i] = strings.ReplaceAll(part, ".", "%2E")
		} else {
			parts[i] = strings.ReplaceAll(url.QueryEscape(part), "+", "%20")
		}
	}
	return c.root() + "/" + strings.Join(parts, "/")
}

// listing is the URL of a listing.
func (c *client) listing(query url.Values) string { return c.root() + "/?" + query.Encode() }

func (c *client) root() string {
	u := *c.base
	return strings.TrimRight(u.String(), "/")
}
