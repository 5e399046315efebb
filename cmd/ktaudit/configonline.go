package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/jobs/frontier"
	"github.com/ktaudit/ktaudit/jobs/lag"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/signature"
	"golang.org/x/sync/errgroup"
)

// onlineTimeout bounds each check, onlineAtOnce how many are made at the same time.
const onlineTimeout, onlineAtOnce = 30 * time.Second, 8

// onlineCheck tries one setting. It returns what it found, in a few words.
type onlineCheck struct {
	setting string
	try     func(ctx context.Context) (found string, err error)
}

// onlineResult is what config check --online prints of a setting.
type onlineResult struct {
	Setting string `json:"setting"`
	OK      bool   `json:"ok"`
	Detail  string `json:"detail"` // what was found, or what is wrong and what to do
}

// errOnline ends config check --online if something that the file names cannot be used.
var errOnline = errors.New("not everything that the configuration names can be used from here")

// checkOnline tries everything that a configuration names, and returns the results in the order of
// the settings.
func checkOnline(ctx context.Context, a *app, c *config.Config) []onlineResult {
	var open closers
	defer func() { _ = open.close() }() // nothing was written that could be lost
	checks := onlineChecks(a, c, &open)
	results := make([]onlineResult, len(checks))
	a.bars.start("checking", uint64(len(checks)))
	defer a.bars.finish()
	var group errgroup.Group
	group.SetLimit(onlineAtOnce)
	for i, check := range checks {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, onlineTimeout)
			defer cancel()
			found, err := check.try(ctx)
			if err != nil {
				found = err.Error()
				if ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
					found = fmt.Sprintf("no answer within %s: check the address, firewalls and proxies (%s)", onlineTimeout, found)
				}
			}
			results[i] = onlineResult{check.setting, err == nil, text.Clean(found, maxErrorLine)}
			return nil
		})
	}
	_ = group.Wait() // the errors are in the results
	return results
}

// onlineChecks are all that can be tried.
func onlineChecks(a *app, c *config.Config, open *closers) []onlineCheck {
	var opening sync.Mutex
	keep := func(close func() error) {
		opening.Lock()
		defer opening.Unlock()
		open.add(close)
	}
	openStore := sync.OnceValues(func() (*auditstore.Store, error) {
		ctx, cancel := context.WithTimeout(context.Background(), onlineTimeout)
		defer cancel()
		store, err := auditstore.Open(ctx, c.AuditStore)
		if err == nil {
			keep(store.Close)
		}
		return store, err
	})
	checks := []onlineCheck{
		{"redis", func(ctx context.Context) (string, error) { return tryRedis(ctx, a, c) }},
		{"audit_store", func(ctx context.Context) (string, error) {
			store, err := openStore()
			if err == nil {
				err = store.CheckWritable(ctx)
			}
			return "can be read and written", err
		}},
	}
	for i, n := range c.Namespaces {
		path := fmt.Sprintf("namespaces[%d].", i)
		checks = append(checks, onlineCheck{path + "log_directory", func(ctx context.Context) (string, error) {
			return a.tryLog(ctx, n, openStore, keep)
		}})
		if n.Signatures != "" {
			checks = append(checks, onlineCheck{path + "signatures", func(ctx context.Context) (string, error) { return a.trySignatures(ctx, n, keep) }})
		}
		for j, x := range n.CrossChecks {
			checks = append(checks, onlineCheck{fmt.Sprintf("%scross_check[%d]", path, j), func(ctx context.Context) (string, error) { return tryAuditor(ctx, x) }})
		}
	}
	var names sync.Map // of the targets, where each stands
	for _, t := range c.Alerts.Targets() {
		checks = append(checks, onlineCheck{t.String(), func(ctx context.Context) (string, error) { return tryTarget(ctx, t, &names) }})
	}
	if c.Heartbeat.IsOn() {
		checks = append(checks, onlineCheck{"heartbeat", func(ctx context.Context) (string, error) { return tryHeartbeat(ctx, c.Heartbeat) }})
	}
	if c.VerdictLog.IsOn() {
		checks = append(checks, onlineCheck{"verdict_log.key", func(context.Context) (string, error) {
			_, err := openVerdictLog(c, c.VerdictLog.Key.IsGiven())
			return "can be read", err
		}})
	}
	for i, m := range c.Witnesses.Members {
		checks = append(checks, onlineCheck{fmt.Sprintf("witnesses.members[%d]", i), func(ctx context.Context) (string, error) { return tryAddress(ctx, m.URL) }})
	}
	return checks
}

func tryRedis(ctx context.Context, a *app, c *config.Config) (string, error) {
	if c.Redis == queue.Embedded {
		return "a queue in the process: only ktaudit run works with it", nil
	}
	var f queueFlags
	f.fill(c)
	access, err := f.access(a.log)
	if err != nil {
		return "", err
	}
	r, err := queue.Open(ctx, access, a.log)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s answers", r), errors.Join(r.Probe(ctx, namesOf(c.Namespaces)...), r.Close())
}

// tryLog asks a log for its newest epoch, or without an audit store for the first one.
func (a *app) tryLog(ctx context.Context, n config.Namespace, openStore func() (*auditstore.Store, error), keep func(func() error)) (string, error) {
	bucket, err := a.openOfLog(ctx, n.Namespace, n.LogDirectory, false)
	if err != nil {
		return "", err
	}
	keep(bucket.Close)
	f := fetcher.New(bucket, fetcher.Options{Present: blobstore.Present(n.LogDirectory)})
	if store, err := openStore(); err == nil && n.Last == 0 {
		l, err := lag.Read(ctx, lag.Config{Namespace: n.Namespace, Log: f, Store: store, First: n.First, Cadence: n.Cadence, Poll: n.Poll}, time.Now())
		if err == nil && l.Published != 0 {
			return fmt.Sprintf("can be read; the newest epoch is %d", l.Published), nil
		}
		if err != nil {
			return "", err
		}
	}
	answer, err := frontier.Locate(ctx, f, n.First)
	switch {
	case err != nil:
		return "", err
	case answer.Published:
		return fmt.Sprintf("can be read, and has epoch %d", n.First), nil
	}
	return "", fmt.Errorf("can be read, but has no epoch %d, the first to audit: check the address and `first`, unless the log is yet to begin", n.First)
}

// trySignatures checks the signed digest of the first epoch.
func (a *app) trySignatures(ctx context.Context, n config.Namespace, keep func(func() error)) (string, error) {
	bucket, err := a.openSignatures(ctx, n.Namespace, n.Signatures, false)
	if err != nil {
		return "", err
	}
	keep(bucket.Close)
	keys, err := signature.ParseKeys(n.Keys())
	if err != nil {
		return "", err
	}
	data, _, err := signature.BucketSource{Bucket: bucket}.Get(ctx, n.First)
	if errors.Is(err, signature.ErrNotFound) {
		return "", fmt.Errorf("can be read, but has no signed digest of epoch %d, which gets no verdict without one: check the address", n.First)
	}
	if err != nil {
		return "", err
	}
	s, err := signature.Parse(data)
	if err == nil {
		err = keys.Verify(s)
	}
	if err != nil {
		return "", fmt.Errorf("signed digest of epoch %d: %w", n.First, err)
	}
	return fmt.Sprintf("can be read; that of epoch %d is signed by a trusted key", n.First), nil
}

func tryAuditor(ctx context.Context, x config.CrossCheck) (string, error) {
	c, err := client.New(client.Config{URL: x.URL, Attempts: 1})
	if err != nil {
		return "", err
	}
	n, err := c.Namespace(ctx, x.Namespace)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("answers; %s is %s there", n.Name, n.Status), nil
}

// tryTarget reads the secrets of an alert target and connects to it. Whether it takes alerts, only
// an alert can tell.
func tryTarget(ctx context.Context, t config.AlertTarget, names *sync.Map) (string, error) {
	made, err := newTargetsOf(t, "")
	if err != nil {
		return "", err
	}
	for _, one := range made {
		if other, taken := names.LoadOrStore(one.Name, t.String()); taken {
			return "", fmt.Errorf("is the same target as %v, or has the name of one of its addresses: remove it, or give it another name", other)
		}
	}
	settings, err := t.Settings("")
	if err != nil {
		return "", err
	}
	address := settings.URL
	switch t.Kind {
	case "exec":
		if _, err := exec.LookPath(settings.Exec.Path); err != nil {
			return "", err
		}
		return "can be started; `ktaudit alert test` sends it an alert", nil
	case "email":
		address = "smtp://" + settings.Email.Server
	}
	found, err := tryAddress(ctx, address)
	if err == nil {
		found += "; `ktaudit alert test` sends it an alert"
	}
	return found, err
}

// tryHeartbeat connects to the server of a heartbeat's address, which is not pinged: that would say
// that all is well.
func tryHeartbeat(ctx context.Context, h config.Heartbeat) (string, error) {
	if _, err := newPing(h); err != nil {
		return "", err
	}
	address, err := h.Address()
	if err != nil {
		return "", err
	}
	found, err := tryAddress(ctx, address)
	if err == nil {
		found += "; `ktaudit alert test` pings it"
	}
	return found, err
}

// tryAddress connects to the server of a URL, or to the proxy for it. The URL may be a secret, but
// for its host.
func tryAddress(ctx context.Context, address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return "is not at a network address, and was not tried", nil
	}
	through := ""
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}); err == nil && proxy != nil {
		through = fmt.Sprintf(", the proxy for %s,", u.Hostname())
		u = proxy
	}
	port := u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	server := net.JoinHostPort(u.Hostname(), port)
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", server)
	if err != nil {
		return "", fmt.Errorf("%s%s cannot be reached: %w", server, through, err)
	}
	return fmt.Sprintf("%s%s accepts connections", server, through), connection.Close()
}
