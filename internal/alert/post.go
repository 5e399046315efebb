package alert

import (
	"bytes"
	"context"
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
)

const (
	sendTimeout = 10 * time.Second // of one request, from the name's look-up to the end of the answer
	// maxAnswer is how much of an answer is read, and maxQuote how much of that an error quotes.
	maxAnswer, maxQuote = 4 << 10, 200
	// minHidden is the length of what errors must not show: shorter parts of an address are no secrets but pieces of any text. So are
	// shorter segments of its path and values of its query than minHiddenPiece.
	minHidden, minHiddenPiece = 4, 8
	// maxRetryAfter is how long a target may ask to be left alone.
	maxRetryAfter = 10 * time.Minute
)

// client sends all requests. A redirect is an answer like any other: alerts, and the secrets beside them, go to no place that
// the operator has not named. Answers are not decompressed, so that what is read is what was sent.
var client = &http.Client{
	Transport: func() http.RoundTripper {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.DisableCompression = true
		t.MaxResponseHeaderBytes = 64 << 10
		t.MaxIdleConnsPerHost = 1
		return t
	}(),
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// poster posts JSON to one address.
type poster struct {
	address *url.URL
	secrets []string // which errors must not show
}

// newPoster takes every part of the address but the host for a secret: tokens stand in paths, queries, users and passwords. A server
// that complains of a token names it alone, without what is around it.
func newPoster(address *url.URL, secrets ...string) poster {
	user := address.User.Username()
	password, _ := address.User.Password()
	p := poster{address: address}
	hide := func(least int, secrets ...string) {
		for _, s := range secrets {
			if len(s) >= least {
				p.secrets = append(p.secrets, s)
			}
		}
	}
	hide(minHidden, secrets...)
	hide(minHidden, address.String(), user, password, address.Path, address.EscapedPath(), address.RawQuery)
	if address.User != nil {
		hide(minHidden, base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	}
	hide(minHiddenPiece, strings.Split(address.Path, "/")...)
	hide(minHiddenPiece, strings.Split(address.EscapedPath(), "/")...)
	for _, values := range address.Query() {
		hide(minHiddenPiece, values...)
	}
	// What is part of another one comes after it, or would leave the rest.
	slices.SortFunc(p.secrets, func(a, b string) int { return len(b) - len(a) })
	return p
}

// post returns nil for a 2xx answer, a *refusal for one that will not change by itself, and another error for what may pass.
func (p poster) post(ctx context.Context, body []byte, header map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.address.String(), bytes.NewReader(body))
	if err != nil {
		return &refusal{p.hide(err)}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "ktaudit")
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		return p.hide(err)
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer)) // the status has said what matters
	return p.judge(response, answer)
}

func (p poster) judge(response *http.Response, answer []byte) error {
	code := response.StatusCode
	if code/100 == 2 {
		return nil
	}
	// Hidden before it is cut and quoted: half a secret would not be found, nor one with a quotation mark.
	err := fmt.Errorf("answered %d %s: %s", code, http.StatusText(code), quote([]byte(p.without(string(answer)))))
	switch {
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code >= 500:
		if after := retryAfter(response.Header.Get("Retry-After"), time.Now()); after > 0 {
			return &deferral{err, after}
		}
		return err
	default:
		return &refusal{err}
	}
}

// hide leaves out of an error what only the operator and the target may know. It keeps cancellation recognisable.
func (p poster) hide(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // the rest is the URL
	}
	if text := p.without(err.Error()); text != err.Error() {
		return errors.New(text)
	}
	return err
}

func (p poster) without(text string) string {
	for _, secret := range p.secrets {
		text = strings.ReplaceAll(text, secret, "…")
	}
	return text
}

// quote makes what a server answered fit for a line of a log.
func quote(answer []byte) string {
	if len(answer) > maxQuote {
		answer = answer[:maxQuote]
		for len(answer) > 0 && !utf8.Valid(answer) && len(answer) > maxQuote-utf8.UTFMax {
			answer = answer[:len(answer)-1]
		}
	}
	return strconv.Quote(string(answer))
}

// retryAfter reads a Retry-After header, in seconds or as a date.
func retryAfter(header string, now time.Time) time.Duration {
	after := time.Duration(0)
	if seconds, err := strconv.Atoi(header); err == nil {
		after = time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
	} else if date, err := http.ParseTime(header); err == nil {
		after = date.Sub(now)
	}
	return max(0, min(after, maxRetryAfter))
}
