package client

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/signature"
)

const (
	module       = "github.com/ktaudit/ktaudit"
	maxRedirects = 3
	maxHeader    = 64 << 10
	maxName      = 512

	maxInfo       = 1 << 20
	maxNamespaces = 8 << 20
	maxNamespace  = 64 << 10
	maxVerified   = 64 << 10
)

// Config says how to reach an auditor.
type Config struct {
	// URL is the auditor's origin, such as https://auditor.example. Plain http is for loopback
	// addresses, unless AllowHTTP is set: anybody on the way can change what it transfers.
	URL       string
	AllowHTTP bool
	// HTTP makes the requests; nil for one with sensible timeouts. Its cookies and its rules for
	// redirects are not used.
	HTTP *http.Client
	// UserAgent is sent with each request. By default it names this module, with its version and
	// where to find it.
	UserAgent string
	// Attempts is how many times a question is asked whose answer is a fault that may pass; 3 by
	// default. Whoever asks all the time sets 1 and paces itself.
	Attempts int
	// Backoff is the wait before the second attempt, which grows; 500 ms by default.
	Backoff time.Duration
}

// Client asks one auditor. Several goroutines may use it at once.
type Client struct {
	base   *url.URL
	http   *http.Client
	config Config
}

// New checks the configuration; it makes no request.
func New(c Config) (*Client, error) {
	base, err := origin(c.URL, c.AllowHTTP)
	if err != nil {
		return nil, fmt.Errorf("auditor's URL %.200q: %w", c.URL, err)
	}
	if base.Path != "" && base.Path != "/" {
		return nil, fmt.Errorf("auditor's URL %.200q: give it without a path: an auditor answers at the root of its host", c.URL)
	}
	base.Path, base.RawPath = "", ""
	c.UserAgent = cmp.Or(c.UserAgent, defaultUserAgent())
	c.Attempts = cmp.Or(max(c.Attempts, 0), 3)
	c.Backoff = cmp.Or(max(c.Backoff, 0), 500*time.Millisecond)
	own := &http.Client{}
	if c.HTTP != nil {
		*own = *c.HTTP
	}
	if own.Transport == nil {
		own.Transport = newTransport()
	}
	own.Jar, own.CheckRedirect = nil, checkRedirect
	return &Client{base: base, http: own, config: c}, nil
}

// URL is the auditor's origin, in one spelling.
func (c *Client) URL() string { return c.base.String() }

func newTransport() *http.Transport {
	dialer := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  30 * time.Second,
		MaxResponseHeaderBytes: maxHeader,
		IdleConnTimeout:        90 * time.Second,
		ForceAttemptHTTP2:      true,
	}
}

// origin reads an https URL, or an http one where that may be, whose query and credentials would
// otherwise be lost without a word.
func origin(s string, plain bool) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("it is no URL: want https://HOST")
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	switch {
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return nil, errors.New("want https://HOST")
	case u.User != nil:
		return nil, errors.New("it has a user name or password")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("it goes on after the path")
	case u.Scheme == "http" && !plain && !IsLoopback(u.Hostname()):
		return nil, errors.New("want https: anybody on the way can change what http transfers")
	}
	if port := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]; strings.HasSuffix(u.Host, port) {
		u.Host = strings.TrimSuffix(u.Host, port)
	}
	return u, nil
}

// IsLoopback reports whether only this machine is reached by a host name or address, so that plain
// http to it is as good as https.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// checkRedirect keeps redirects within https, or within what a plain http server may do.
func checkRedirect(to *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("%w: more than %d in a row", errRedirect, maxRedirects)
	case to.URL.User != nil:
		return fmt.Errorf("%w: to a URL with credentials", errRedirect)
	case to.URL.Scheme == "https":
	case to.URL.Scheme != "http" || via[0].URL.Scheme != "http" || to.URL.Host != via[0].URL.Host:
		return fmt.Errorf("%w: from %s to %.20s://%.200s", errRedirect, via[0].URL.Host, to.URL.Scheme, to.URL.Host)
	}
	to.Header.Del("Referer") // net/http adds it
	return nil
}

// Info returns the auditor's keys, which are those that it claims, and the logs that it knows.
func (c *Client) Info(ctx context.Context) (Info, error) {
	return ask[Info](ctx, c, maxInfo, "info")
}

// Namespaces returns all namespaces of the auditor.
func (c *Client) Namespaces(ctx context.Context) (Namespaces, error) {
	return ask[Namespaces](ctx, c, maxNamespaces, "namespaces")
}

// Namespace returns one. It is ErrNotFound, wrapped, if the auditor does not know it.
func (c *Client) Namespace(ctx context.Context, name string) (Namespace, error) {
	if err := checkName(name); err != nil {
		return Namespace{}, err
	}
	n, err := ask[Namespace](ctx, c, maxNamespace, "namespaces", name)
	if err == nil && n.Name != name {
		err = fmt.Errorf("%w: it was asked for namespace %q and answered for %.200q", ErrMalformed, name, n.Name)
	}
	if err != nil {
		return Namespace{}, err
	}
	return n, nil
}

// Audit returns the signed digest of an epoch, as it was sent and as it reads. It is ErrNotFound,
// wrapped, if there is none. A page that is not JSON is ErrMalformed, JSON that is not a signed
// digest signature.ErrMalformed, one for something else than was asked
// signature.ErrMismatch; raw is then what the auditor said. The signature is not verified here.
func (c *Client) Audit(ctx context.Context, namespace string, epoch uint64) (raw []byte, s signature.SignedDigest, err error) {
	if err := checkName(namespace); err != nil {
		return nil, s, err
	}
	segments := []string{"namespaces", namespace, "audits", strconv.FormatUint(epoch, 10)}
	raw, contentType, err := c.get(ctx, signature.MaxSize, segments...)
	if err != nil {
		return nil, s, err
	}
	if !json.Valid(raw) {
		return nil, s, c.malformed(segments, raw, contentType, errors.New("no JSON"))
	}
	if s, err = signature.Parse(raw); err != nil {
		return raw, signature.SignedDigest{}, fmt.Errorf("%s, epoch %d: %w", c.URL(), epoch, err)
	}
	if err := signature.Check(s, namespace, epoch, s.Digest); err != nil {
		return raw, s, fmt.Errorf("%s: %w", c.URL(), err)
	}
	return raw, s, nil
}

// LastVerified returns the last epoch that the auditor says it verified. It is ErrNotFound,
// wrapped, if there is none.
func (c *Client) LastVerified(ctx context.Context, namespace string) (LastVerified, error) {
	if err := checkName(namespace); err != nil {
		return LastVerified{}, err
	}
	return ask[LastVerified](ctx, c, maxVerified, "namespaces", namespace, "last-verified-epoch")
}

// checkName refuses names that no path can carry.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > maxName {
		return fmt.Errorf("%.100q cannot be the name of a namespace", name)
	}
	return nil
}

// checkDigest is for the parts of a proof's name.
func checkDigest(digest string) error {
	if raw, err := hex.DecodeString(digest); err != nil || len(raw) != 32 {
		return fmt.Errorf("%.100q does not have 64 hexadecimal digits", digest)
	}
	return nil
}

func defaultUserAgent() string {
	version := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == module {
				version = m.Version
			}
		}
	}
	// A build's version may hold characters that have a meaning in the header.
	version = strings.Map(func(r rune) rune {
		if r > ' ' && r <= '~' && !strings.ContainsRune(`()<>@,;:\"/[]?={}`, r) {
			return r
		}
		return -1
	}, version)
	return fmt.Sprintf("ktaudit/%s (+https://%s)", cmp.Or(version, "devel"), module)
}
