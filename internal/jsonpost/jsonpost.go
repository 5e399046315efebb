// Package jsonpost posts JSON to an address that an operator gave, and hides the secrets of that
// address in errors.
//
// It promises that a request ends within seconds, that answers are bounded, that no redirect is
// followed, and that an error says whether the same request may succeed later. What is sent, and
// when again, is left to the caller.
package jsonpost

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ktaudit/ktaudit/internal/tlsfiles"
	"github.com/ktaudit/ktaudit/internal/wait"
)

const (
	// Timeout bounds one request, from looking up the host to the end of the answer.
	Timeout = 10 * time.Second
	// maxAnswer is how much of an answer is read, and maxQuote how much of that an error quotes.
	maxAnswer, maxQuote = 4 << 10, 200
	// minHidden is the length from which errors hide the parts of an address: shorter ones are no
	// secrets and occur in any text. minHiddenPart is the same for the segments of its path and
	// the values of its query.
	minHidden, minHiddenPart = 4, 8
	// maxRetryAfter is the longest pause that a target may ask for.
	maxRetryAfter = 10 * time.Minute
)

// client sends the requests to all addresses that need no TLS of their own.
var client = newClient(nil)

// newClient returns a client that follows no redirects: alerts, and the secrets beside them, go
// only where the operator said. It does not decompress answers, so that what is read is what was
// sent.
func newClient(c *tls.Config) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true
	t.MaxResponseHeaderBytes = 64 << 10
	t.MaxIdleConnsPerHost = 1
	t.TLSClientConfig = c
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Poster posts JSON to one address.
type Poster struct {
	address *url.URL
	secrets []string // which errors must not show
	client  *http.Client
}

// New treats every part of the address but the host as a secret: tokens are put into paths,
// queries, users and passwords. Each part is also hidden by itself, because a server that complains
// of a token quotes the token alone.
func New(address *url.URL, secrets ...string) Poster {
	user := address.User.Username()
	password, _ := address.User.Password()
	p := Poster{address: address, client: client}
	hide := func(minLength int, secrets ...string) {
		for _, s := range secrets {
			if len(s) >= minLength {
				p.secrets = append(p.secrets, s)
			}
		}
	}
	hide(minHidden, secrets...)
	hide(minHidden, address.String(), user, password, address.Path, address.EscapedPath(), address.RawQuery)
	if address.User != nil {
		hide(minHidden, base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	}
	hide(minHiddenPart, strings.Split(address.Path, "/")...)
	hide(minHiddenPart, strings.Split(address.EscapedPath(), "/")...)
	for _, values := range address.Query() {
		hide(minHiddenPart, values...)
	}
	// Longest first: hiding a part of a longer secret first would leave the rest of that one.
	slices.SortFunc(p.secrets, func(a, b string) int { return len(b) - len(a) })
	return p
}

// ParseAddress reads an HTTP URL. Its errors don't quote the URL, which may hold a secret.
func ParseAddress(text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	switch {
	case err != nil:
		return nil, errors.New("the URL is malformed")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, errors.New("the URL must start with https:// or http:// and name a host")
	}
	u.Fragment = ""
	return u, nil
}

// WithTLS returns a Poster that reaches the address by the TLS files, if there are any.
func (p Poster) WithTLS(files tlsfiles.Files) (Poster, error) {
	if files == (tlsfiles.Files{}) {
		return p, nil
	}
	c, err := files.Config()
	if err != nil {
		return Poster{}, err
	}
	p.client = newClient(c)
	return p, nil
}

// Post returns nil for a 2xx answer, a *Refusal for an answer that will not change by itself, and
// another error, perhaps a *RetryAfterError, for a failure that may pass.
func (p Poster) Post(ctx context.Context, body []byte, header map[string]string) error {
	return p.do(ctx, http.MethodPost, bytes.NewReader(body), header)
}

// Get asks the address, for those that want no body, and returns what Post does.
func (p Poster) Get(ctx context.Context) error {
	return p.do(ctx, http.MethodGet, http.NoBody, nil)
}

func (p Poster) do(ctx context.Context, method string, body io.Reader, header map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, p.address.String(), body)
	if err != nil {
		return &Refusal{Err: p.redact(err), All: true}
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("User-Agent", "ktaudit")
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := p.client.Do(request)
	if err != nil {
		return p.redact(err)
	}
	defer response.Body.Close()
	// the status says what matters
	answer, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return p.answerError(response, answer)
}

// answerError is Post's error for an answer.
func (p Poster) answerError(response *http.Response, answer []byte) error {
	code := response.StatusCode
	if code/100 == 2 {
		return nil
	}
	// Secrets are hidden before the text is cut and quoted: half a secret, or one with an escaped
	// quotation mark, would not be found.
	text := quote(p.withoutSecrets(string(answer)))
	err := fmt.Errorf("answered %d %s: %s", code, http.StatusText(code), text)
	switch {
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code >= 500:
		if after := wait.RetryAfter(response.Header.Get("Retry-After"), time.Now(), maxRetryAfter); after > 0 {
			return &RetryAfterError{err, after}
		}
		return err
	case code == http.StatusBadRequest, code == http.StatusRequestEntityTooLarge, code == http.StatusUnprocessableEntity:
		return &Refusal{Err: err}
	default: // the address or the right to post there is at fault
		return &Refusal{Err: err, All: true}
	}
}

// redact removes from an error what only the operator and the target may know. A cancelled context
// stays recognisable.
func (p Poster) redact(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // the rest is the URL
	}
	if text := p.withoutSecrets(err.Error()); text != err.Error() {
		return errors.New(text)
	}
	return err
}

func (p Poster) withoutSecrets(text string) string {
	for _, secret := range p.secrets {
		text = strings.ReplaceAll(text, secret, "…")
	}
	return text
}

// quote makes a server's answer fit for a line of a log. Bytes that are no text appear escaped.
func quote(answer string) string {
	if len(answer) > maxQuote {
		cut := maxQuote
		for cut > maxQuote-utf8.UTFMax && !utf8.RuneStart(answer[cut]) {
			cut--
		}
		answer = answer[:cut]
	}
	return strconv.Quote(answer)
}

// Refusal is an answer that will be the same next time: the request, or the right to send it, is at
// fault.
type Refusal struct {
	Err error
	All bool // whatever is sent is refused
}

func (e *Refusal) Error() string { return e.Err.Error() }
func (e *Refusal) Unwrap() error { return e.Err }

// Refused reports whether an error is a Refusal.
func Refused(err error) bool {
	_, ok := errors.AsType[*Refusal](err)
	return ok
}

// RefusesAll reports whether an error is a Refusal of whatever is sent.
func RefusesAll(err error) bool {
	e, ok := errors.AsType[*Refusal](err)
	return ok && e.All
}

// RetryAfterError is a failure that may pass, with the pause that the target asked for.
type RetryAfterError struct {
	err   error
	Pause time.Duration
}

func (e *RetryAfterError) Error() string { return e.err.Error() }
func (e *RetryAfterError) Unwrap() error { return e.err }
