package heartbeat

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

var errRound = errors.New("connection refused")

// monitor counts pings.
type monitor struct {
	pings int
	down  bool
	log   bytes.Buffer
}

// start runs a heartbeat of two logs in the bubble of the test.
func (m *monitor) start(t *testing.T) *Heartbeat {
	t.Helper()
	h := New(Config{
		Namespaces: []string{"one", "two"}, SignLasts: 90 * time.Second, Log: zerolog.New(&m.log),
		Ping: func(context.Context) error {
			if m.down {
				return errors.New("answered 503")
			}
			m.pings++
			return nil
		},
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { h.Run(ctx); close(ended) }()
	t.Cleanup(func() { stop(); <-ended })
	return h
}

// allWell gives every sign once.
func allWell(h *Heartbeat) {
	for _, namespace := range []string{"one", "two"} {
		h.Round(namespace, nil)
		h.Pass(namespace, 0)
	}
	h.StoreTried(time.Time{})
}

func TestPingsWhileAllIsWell(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m monitor
		h := m.start(t)
		h.Round("three", errRound) // which is not followed
		for range 60 {
			time.Sleep(minPause)
			allWell(h)
			synctest.Wait()
		}
		if m.pings != 60 || m.log.Len() > 0 {
			t.Errorf("%d pings in 60 rounds, and the log says %q", m.pings, m.log.String())
		}
	})
}

// TestSilent: whatever is amiss, or hangs so that its sign stays away, there is no ping, and the log
// says why.
func TestSilent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		signs func(h *Heartbeat)
		why   string
	}{
		{"nothing is done", func(*Heartbeat) {}, "following one: not finished"},
		{"one log hangs", func(h *Heartbeat) {
			h.Round("one", nil)
			h.Pass("one", 0)
			h.Pass("two", 0)
			h.StoreTried(time.Time{})
		}, "following two: not finished"},
		{"one log fails", func(h *Heartbeat) {
			h.Round("two", errRound)
			h.Round("one", nil)
			h.Pass("one", 0)
			h.Pass("two", 0)
			h.StoreTried(time.Time{})
		}, "following two: connection refused"},
		{"the dispatcher hangs", func(h *Heartbeat) {
			h.Round("one", nil)
			h.Round("two", nil)
			h.StoreTried(time.Time{})
		}, "alerts of one: not finished"},
		{"an alert is not delivered", func(h *Heartbeat) { h.Pass("one", 1); others(h) }, "alerts of one: 1 were not delivered"},
		{"the store refuses writes", func(h *Heartbeat) { allButStore(h); h.StoreTried(time.Unix(1_800_000_000, 0)) }, "writing to the audit store: refused since 2027-01-15T08:00:00Z"},
		{"the store does not answer", allButStore, "writing to the audit store: not finished"},
		{"a log that is not followed is well", func(h *Heartbeat) { allButStore(h); h.Round("three", nil) }, "writing to the audit store"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var m monitor
				h := m.start(t)
				allWell(h) // what was well once is not for ever
				synctest.Wait()
				before := m.pings
				for range 100 {
					time.Sleep(minPause + time.Second)
					c.signs(h)
					synctest.Wait()
				}
				if m.pings != before {
					t.Errorf("%d pings", m.pings-before)
				}
				if log := m.log.String(); !strings.Contains(log, c.why) {
					t.Errorf("the log says %q, want %q", log, c.why)
				}
			})
		})
	}
}

func allButStore(h *Heartbeat) {
	for _, namespace := range []string{"one", "two"} {
		h.Round(namespace, nil)
		h.Pass(namespace, 0)
	}
}

func others(h *Heartbeat) {
	h.Round("one", nil)
	h.Round("two", nil)
	h.Pass("two", 0)
	h.StoreTried(time.Time{})
}

// TestOldSigns: after a hang no sign of before it counts.
func TestOldSigns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m monitor
		h := m.start(t)
		allButStore(h)
		time.Sleep(quietAfter + time.Second)
		h.StoreTried(time.Time{})
		synctest.Wait()
		if m.pings != 0 {
			t.Error("it is pinged by signs of long ago")
		}
		time.Sleep(quietAfter)
		synctest.Wait()
		if log := m.log.String(); !strings.Contains(log, "following one: not finished since 2000-01-01") {
			t.Errorf("the log says %q", log)
		}
		allWell(h)
		synctest.Wait()
		if m.pings != 1 {
			t.Errorf("%d pings once all is well", m.pings)
		}
	})
}

// TestRecovers: what was amiss and is well again is pinged, and said.
func TestRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := monitor{down: true}
		h := m.start(t)
		round := func() {
			time.Sleep(minPause)
			allWell(h)
			synctest.Wait()
		}
		round()
		if log := m.log.String(); m.pings != 0 || !strings.Contains(log, "answered 503") {
			t.Errorf("%d pings arrived, and the log says %q", m.pings, log)
		}
		m.down = false
		round()
		if log := m.log.String(); m.pings != 1 || !strings.Contains(log, "pinged again") {
			t.Errorf("%d pings arrived, and the log says %q", m.pings, log)
		}
	})
}

// TestBurst: signs that come fast, as of a log that is polled each second, cause a ping now and
// then only.
func TestBurst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m monitor
		h := m.start(t)
		for range 600 {
			time.Sleep(time.Second)
			allWell(h)
			synctest.Wait()
		}
		if want := int(600 * time.Second / minPause); m.pings > want || m.pings < want-1 {
			t.Errorf("%d pings in ten minutes, want %d", m.pings, want)
		}
	})
}

// TestNone: where no heartbeat is configured, its methods do nothing.
func TestNone(t *testing.T) {
	t.Parallel()
	var h *Heartbeat
	allWell(h)
	h.Run(t.Context())
}
