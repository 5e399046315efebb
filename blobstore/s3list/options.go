package s3list

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"math"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/patience"
)

const (
	module         = "github.com/ktaudit/ktaudit"
	defaultRate    = 10
	defaultContact = "https://" + module
	maxRate        = 10_000
	maxContact     = 200
)

// Options say how to send requests to a host. A zero field stands for its default.
type Options struct {
	// Rate is how many requests a second go to the host. All buckets of one host in this process
	// share it; if they name several, the lowest counts. Default 10, unless another bucket of the
	// host names one.
	Rate float64
	// Contact tells the host's operator who sends the requests: a mail address or a URL. Default
	// ktaudit's home page.
	Contact string
	// Plain has listings asked for without the random query parameter cb. It makes each request's
	// URL a new one to content networks, which keep empty listings for minutes otherwise. A server
	// that refuses it is noticed.
	Plain bool
	// Redirects are hosts, each HOST or HOST:PORT, that the server may redirect to. Redirects to
	// any other host than its own are refused; there may be three in a row.
	Redirects []string
	// Version of ktaudit to send with each request. Default what the Go build recorded.
	Version string

	// Attempts is how often to make a request that fails for a reason that may pass: 408, 425, 429,
	// 5xx, or a connection that cannot be made or breaks. For a body, it is how many requests may
	// break off one after the other; one that brought at least 64 KiB starts the count again.
	// Default 5.
	Attempts int
	// Backoff is the wait before the second attempt. It doubles each time, up to 10 s or Backoff if
	// that is longer, and varies at random by half of itself either way. Default 250 ms.
	Backoff time.Duration
	// MaxPause is the longest Retry-After to wait for. If the host asks for more, requests fail at
	// once until then. Default 20 s, which is less than package fetcher's limit for a stalled
	// request.
	MaxPause time.Duration

	// ConnectTimeout is for the connection and again for TLS; default 10 s. HeaderTimeout is from
	// the request to the answer's first line, default 30 s; ListTimeout from there to the end of a
	// listing, default 1 minute. IdleTimeout is how long a body may bring nothing, default 20 s.
	ConnectTimeout, HeaderTimeout, ListTimeout, IdleTimeout time.Duration

	// Patience is how long a host may bring nothing to a listing, a request for headers or an
	// object's body, over all attempts, redirects and pauses; default 40 s. Bytes that come at more
	// than MinRate a second, default 16 KiB, add to it up to a minute. What is slower fails.
	// Waiting for the next turn at Rate does not count.
	Patience time.Duration
	MinRate  int64

	tls *tls.Config // for tests, whose servers certify themselves
}

func (o Options) withDefaults() Options {
	o.Contact = cmp.Or(o.Contact, defaultContact)
	o.Version = cmp.Or(o.Version, buildVersion())
	o.Attempts = cmp.Or(max(o.Attempts, 0), 5)
	o.Backoff = cmp.Or(max(o.Backoff, 0), 250*time.Millisecond)
	o.MaxPause = cmp.Or(max(o.MaxPause, 0), 20*time.Second)
	o.ConnectTimeout = cmp.Or(max(o.ConnectTimeout, 0), 10*time.Second)
	o.HeaderTimeout = cmp.Or(max(o.HeaderTimeout, 0), 30*time.Second)
	o.ListTimeout = cmp.Or(max(o.ListTimeout, 0), time.Minute)
	o.IdleTimeout = cmp.Or(max(o.IdleTimeout, 0), 20*time.Second)
	o.Patience = cmp.Or(max(o.Patience, 0), 40*time.Second)
	o.MinRate = cmp.Or(max(o.MinRate, 0), 16<<10)
	return o
}

// limits are those of an operation; a total of 0 is no limit.
func (o Options) limits(total time.Duration) patience.Limits {
	return patience.Limits{Grace: o.Patience, MinRate: o.MinRate, Total: total}
}

func (o Options) validate() error {
	if o.Rate != 0 && !(o.Rate > 0 && o.Rate <= maxRate) { // also refuses NaN
		return fmt.Errorf("rate %v: want requests a second, over 0 and up to %d", o.Rate, maxRate)
	}
	if i := strings.IndexFunc(o.Contact, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`()\`, r) }); i >= 0 ||
		len(o.Contact) > maxContact {
		return fmt.Errorf("contact %q: want a mail address or a URL, in ASCII, without spaces and brackets, up to %d bytes", o.Contact, maxContact)
	}
	for _, host := range o.Redirects {
		if u, err := url.Parse("https://" + host); err != nil || u.Host != host || u.Hostname() == "" || u.User != nil {
			return fmt.Errorf("redirects: %.100q: want hosts with commas between, such as files.example.org or files.example.org:8443", host)
		}
	}
	return nil
}

// userAgent is the header that says who sends a request.
func (o Options) userAgent() string {
	// A build's version may hold characters that have a meaning in the header.
	version := strings.Map(func(r rune) rune {
		if r > ' ' && r <= '~' && !strings.ContainsRune(`()<>@,;:\"/[]?={}`, r) {
			return r
		}
		return -1
	}, o.Version)
	return fmt.Sprintf("ktaudit/%s (+%s)", cmp.Or(version, "devel"), o.Contact)
}

// burst is how many requests may go out at once after a pause: those of one second.
func burst(rate float64) int { return max(1, int(math.Ceil(rate))) }

func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	if info.Main.Path == module {
		return info.Main.Version
	}
	for _, d := range info.Deps {
		if d.Path == module {
			return d.Version
		}
	}
	return ""
}
