package heartbeat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	// minPause is the shortest time between two pings: services that are pinged refuse more than a
	// few in a minute.
	minPause = 30 * time.Second
	// quietAfter is how long there may be no ping before the log says why, if signs do not last
	// longer.
	quietAfter = 5 * time.Minute
)

// Config says what must go well, and what is done while it does.
type Config struct {
	// Namespaces are the logs that are followed, all of them.
	Namespaces []string
	// Ping asks the address once, within seconds.
	Ping func(ctx context.Context) error
	// OnPing, if not nil, is called with what came of each ping.
	OnPing func(err error)
	// SignLasts is how long a good sign counts, since what gave it may hang then; at least
	// quietAfter.
	SignLasts time.Duration
	Log       zerolog.Logger
}

// Heartbeat collects the signs that all is well, and pings when it has them all. A nil one does
// nothing.
type Heartbeat struct {
	config   Config
	complete chan struct{} // all signs are there

	mu     sync.Mutex
	signs  map[string]sign
	last   time.Time // when the last ping was tried
	since  time.Time // since when no ping went well
	logged string    // why there is none, as the log has it
}

// sign is what was seen last, good (nil) or bad, and when.
type sign struct {
	err error
	at  time.Time
}

// awaited stands for a sign that was not seen since the last ping.
var awaited = sign{err: errors.New("not finished since the last ping")}

const storeSign = "writing to the audit store"

func roundSign(namespace string) string { return "following " + namespace }
func passSign(namespace string) string  { return "alerts of " + namespace }

// New returns a heartbeat that has seen no sign yet.
func New(c Config) *Heartbeat {
	h := &Heartbeat{config: c, complete: make(chan struct{}, 1), signs: map[string]sign{storeSign: awaited}, since: time.Now()}
	for _, namespace := range c.Namespaces {
		h.signs[roundSign(namespace)], h.signs[passSign(namespace)] = awaited, awaited
	}
	return h
}

// Round takes in what a round of following a log came to.
func (h *Heartbeat) Round(namespace string, err error) { h.note(roundSign(namespace), err) }

// Pass takes in how many alerts of a log some target lacks after a pass over them.
func (h *Heartbeat) Pass(namespace string, lacking int) {
	var err error
	if lacking > 0 {
		err = fmt.Errorf("%d were not delivered to every target yet", lacking)
	}
	h.note(passSign(namespace), err)
}

// StoreTried takes in since when the audit store could not be written; zero: it can.
func (h *Heartbeat) StoreTried(since time.Time) {
	var err error
	if !since.IsZero() {
		err = fmt.Errorf("refused since %s", since.UTC().Format(time.RFC3339))
	}
	h.note(storeSign, err)
}

// note takes in a sign, good or bad. One that is not expected is none.
func (h *Heartbeat) note(of string, err error) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, expected := h.signs[of]; !expected {
		return
	}
	now := time.Now()
	h.signs[of] = sign{err, now}
	if h.isComplete(now) {
		select {
		case h.complete <- struct{}{}:
		default:
		}
	}
}

// isComplete reports whether all is well, and the last ping long enough ago. h.mu is held.
func (h *Heartbeat) isComplete(now time.Time) bool {
	for _, s := range h.signs {
		if h.missing(s, now) != nil {
			return false
		}
	}
	return now.Sub(h.last) >= minPause
}

// missing returns why a sign is none, or nil.
func (h *Heartbeat) missing(s sign, now time.Time) error {
	if s.err == nil && now.Sub(s.at) > h.patience() {
		return fmt.Errorf("not finished since %s", s.at.UTC().Format(time.RFC3339))
	}
	return s.err
}

func (h *Heartbeat) patience() time.Duration { return max(quietAfter, h.config.SignLasts) }

// useUp uses up all signs, and reports whether they were still there.
func (h *Heartbeat) useUp(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.isComplete(now) {
		return false
	}
	h.last = now
	for of := range h.signs {
		h.signs[of] = awaited
	}
	return true
}

// Run pings until ctx ends. Its timer only has the log say why there was no ping.
func (h *Heartbeat) Run(ctx context.Context) {
	if h == nil {
		return
	}
	look := time.NewTicker(quietAfter / 5)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			h.logSilence(time.Now())
		case <-h.complete:
			if h.useUp(time.Now()) {
				h.ping(ctx)
			}
		}
	}
}

// ping asks the address once. After a failure the next signs cause the next ping: they come often
// enough, and what they say is newer.
func (h *Heartbeat) ping(ctx context.Context) {
	err := h.config.Ping(ctx)
	if ctx.Err() != nil {
		return
	}
	if h.config.OnPing != nil {
		h.config.OnPing(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.log(fmt.Sprintf("the ping failed: %v", err), "the heartbeat did not arrive: whoever waits for it will be alerted; the next round pings again")
		return
	}
	if h.logged != "" {
		h.config.Log.Info().Time("since", h.since).Msg("the heartbeat is pinged again")
	}
	h.since, h.logged = time.Now(), ""
}

// logSilence logs what is missing once there was no ping for long.
func (h *Heartbeat) logSilence(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now.Sub(h.since) < h.patience() {
		return
	}
	var missing []string
	for of, s := range h.signs {
		if err := h.missing(s, now); err != nil {
			missing = append(missing, fmt.Sprintf("%s: %v", of, err))
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		h.log(strings.Join(missing, "; "), "the heartbeat is silent, since not all is well: whoever waits for it will be alerted")
	}
}

// log logs why there is no ping, unless it has. h.mu is held.
func (h *Heartbeat) log(why, message string) {
	if why == h.logged {
		return
	}
	h.logged = why
	h.config.Log.Warn().Str("why", why).Time("since", h.since).Msg(message)
}
