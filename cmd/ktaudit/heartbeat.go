package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
	"github.com/ktaudit/ktaudit/internal/metrics"
	"github.com/ktaudit/ktaudit/jobs/heartbeat"
	"github.com/ktaudit/ktaudit/jobs/schedule"
	"github.com/rs/zerolog"
)

// newHeartbeat makes the heartbeat of a scheduler that follows some logs of a configuration. It is
// nil if there is none, or if the scheduler does not follow all logs: what it does not see may be
// amiss.
func newHeartbeat(settings *config.Config, namespaces []config.Namespace, m *metrics.Metrics, log zerolog.Logger) (*heartbeat.Heartbeat, error) {
	if !settings.Heartbeat.IsOn() {
		return nil, nil
	}
	ping, err := newPing(settings.Heartbeat)
	if err != nil {
		return nil, err
	}
	if len(namespaces) < len(settings.Namespaces) {
		log.Warn().Int("followed", len(namespaces)).Int("configured", len(settings.Namespaces)).
			Msg("the heartbeat is not pinged by this process, which does not follow all logs of the configuration: start one that does, or give this one a file of its own")
		return nil, nil
	}
	var slowest time.Duration
	for _, n := range namespaces {
		slowest = max(slowest, schedule.RoundWithin(n.Poll))
	}
	return heartbeat.New(heartbeat.Config{
		Namespaces: namesOf(namespaces), Ping: ping, OnPing: m.HeartbeatSent, SignLasts: slowest, Log: log,
	}), nil
}

// newPing returns what pings the address of a heartbeat once. The address is read each time: its
// file may have changed. Errors do not show it.
func newPing(h config.Heartbeat) (func(context.Context) error, error) {
	var poster jsonpost.Poster
	var known string
	renew := func() error {
		address, err := h.Address()
		if err != nil || address == known {
			return err
		}
		u, err := jsonpost.ParseAddress(address)
		if err != nil {
			return err
		}
		p, err := jsonpost.New(u).WithTLS(h.TLS.Files())
		if err == nil {
			poster, known = p, address
		}
		return err
	}
	if err := renew(); err != nil {
		return nil, fmt.Errorf("heartbeat: %w", err)
	}
	return func(ctx context.Context) error {
		if err := renew(); err != nil {
			return err
		}
		return poster.Get(ctx)
	}, nil
}
