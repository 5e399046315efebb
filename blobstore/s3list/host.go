package s3list

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/patience"
	"github.com/ktaudit/ktaudit/internal/wait"
	"golang.org/x/time/rate"
)

// maxHold is the longest Retry-After that is obeyed. A mistaken one must not end the audit.
const maxHold = time.Hour

var errHeld = errors.New("the host asked to be left alone")

// hosts are those of which this process has buckets open. Their rates do not grow with the number
// of buckets.
var hosts = struct {
	sync.Mutex
	byName map[string]*host
}{byName: map[string]*host{}}

// host is what all buckets of one host share.
type host struct {
	name    string
	limiter *rate.Limiter
	rates   map[*client]float64 // guarded by hosts

	mu    sync.Mutex
	until time.Time // no requests before
}

// join adds c to its host's clients. leave must follow.
func join(c *client, base *url.URL, perSecond float64) *host {
	name := hostName(base)
	hosts.Lock()
	defer hosts.Unlock()
	h, ok := hosts.byName[name]
	if !ok {
		h = &host{name: name, limiter: rate.NewLimiter(defaultRate, burst(defaultRate)), rates: map[*client]float64{}}
		hosts.byName[name] = h
	}
	h.rates[c] = perSecond
	h.adjust()
	return h
}

// hostName is a URL's host and port.
func hostName(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

func (h *host) leave(c *client) {
	hosts.Lock()
	defer hosts.Unlock()
	delete(h.rates, c)
	h.adjust()
	h.mu.Lock()
	defer h.mu.Unlock()
	// A host that asked for a pause is remembered: opening the bucket again must not evade it.
	if len(h.rates) == 0 && !time.Now().Before(h.until) && hosts.byName[h.name] == h {
		delete(hosts.byName, h.name)
	}
}

// adjust sets the lowest rate that any of the buckets asks for.
func (h *host) adjust() {
	lowest := 0.0
	for _, r := range h.rates {
		if r != 0 && (lowest == 0 || r < lowest) {
			lowest = r
		}
	}
	if lowest == 0 {
		lowest = defaultRate
	}
	if h.limiter.Limit() != rate.Limit(lowest) {
		h.limiter.SetLimit(rate.Limit(lowest))
		h.limiter.SetBurst(burst(lowest))
	}
}

// wait waits for this request's turn.
func (h *host) wait(ctx context.Context, maxPause time.Duration) error {
	for {
		if err := h.waitPause(ctx, maxPause); err != nil {
			return err
		}
		turn := h.limiter.Reserve()
		resume := patience.Pause(ctx) // our own rate is not the host's fault
		err := wait.For(ctx, turn.Delay())
		resume()
		if err != nil {
			turn.Cancel()
			return err
		}
		if h.pause() <= 0 {
			return nil
		}
	}
}

// waitPause waits for the end of the pause that the host asked for. Turns come after it, so that
// requests that waited do not all go out at once.
func (h *host) waitPause(ctx context.Context, maxPause time.Duration) error {
	for {
		pause := h.pause()
		switch {
		case pause <= 0:
			return nil
		case pause > maxPause:
			return fmt.Errorf("%w for %s more", errHeld, pause.Round(time.Second))
		}
		if err := wait.For(ctx, pause); err != nil {
			return err
		}
	}
}

// pause is how long the host wants no requests; 0 or less if it takes them.
func (h *host) pause() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Until(h.until)
}

// heed applies an answer's Retry-After to all requests to the host. It adds up to a tenth at
// random, so that auditors that got the same answer do not return at the same time.
func (h *host) heed(header http.Header) {
	d := wait.RetryAfter(header.Get("Retry-After"), time.Now(), maxHold)
	if d <= 0 {
		return
	}
	until := time.Now().Add(d + rand.N(d/10+1))
	h.mu.Lock()
	defer h.mu.Unlock()
	if until.After(h.until) {
		h.until = until
	}
}
