package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/api"
	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/metrics"
	"github.com/ktaudit/ktaudit/jobs/timestamp"
	"github.com/ktaudit/ktaudit/witness"
	"golang.org/x/sync/errgroup"
)

type serveCmd struct {
	Config string `group:"log" required:"" placeholder:"FILE" help:"Configuration file, with serve and the logs. See ktaudit config check."`
	namespaceFlag
	storeFlag
	queueFlags
	listenFlag
	Sign      string `group:"signatures" enum:",seen,verified" default:"" placeholder:"WHEN" help:"When digests are signed, in place of signing.mode of each log: seen, as soon as they are posted, or verified, once their epoch is."`
	Witness   bool   `group:"signatures" help:"Cosign the checkpoints of other transparency logs, those in witness of the configuration file, below /witness/."`
	APIListen string `name:"api-listen" group:"output" placeholder:"ADDRESS" help:"Address of the API, in place of serve.listen in the configuration file."`
}

func (serveCmd) Help() string {
	return `Serves an auditor's API, as the client plexi reads it, and what is on record of the audit: verdicts, status, incidents and evidence.
Digests that a log posts are signed, one for each epoch and for ever, where the configuration file has "signing" for the log. A
signature says that a digest was seen; verdicts, and last-verified-epoch, say what was verified. You can start any number on any
number of machines over one audit store. Signed epochs are put on the queue at once if there is a Redis; otherwise, and whenever it
is down, schedulers find them. Alerts are sent by schedulers. With --witness it also cosigns the checkpoints of other transparency
logs, as C2SP's tlog-witness has it (docs/witness.md).

Runs until SIGTERM or Ctrl-C, answers the requests under way, and exits with 0. Certificates, client CAs and tokens are read again
when they change, signing keys at the start.

Examples:
  ktaudit keygen --out signing.key
  ktaudit serve --config ktaudit.yaml
  ktaudit serve --config ktaudit.yaml --witness
  ktaudit serve --config ktaudit.yaml --namespace example --api-listen 127.0.0.1:8080 --listen 127.0.0.1:9464`
}

// Run serves until ctx ends.
func (c serveCmd) Run(ctx context.Context, a *app) (err error) {
	a.serve(ctx)
	settings, namespaces, err := configFlags{Config: c.Config}.loadAll(c.Namespace)
	if err != nil {
		return err
	}
	settings.Serve.Listen = cmp.Or(c.APIListen, settings.Serve.Listen)
	if settings.Serve.Listen == "" {
		return fmt.Errorf("%s does not say where to serve: give serve.listen, such as :8443, or --api-listen", c.Config)
	}
	for i := range namespaces {
		if namespaces[i].Signing.IsOn() && c.Sign != "" {
			namespaces[i].Signing.Mode = c.Sign
		}
	}
	c.storeFlag.fill(settings)
	c.queueFlags.fill(settings)
	keys, err := signingKeys(settings.Serve.Keys)
	if err != nil {
		return err
	}
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	store, err := c.storeFlag.openWritable(ctx, a)
	if err != nil {
		return err
	}
	open.add(store.Close)
	jobs, err := newSignedQueue(c.queueFlags, namespaces, a)
	if err != nil {
		return err
	}
	by, err := c.observe(ctx, a, settings, observed{namespaces: namespaces, store: store})
	if err != nil {
		return err
	}
	defer by.stop()
	by.watchIncidents(store, namesOf(namespaces))
	s := serving{a: a, store: store, keys: keys, by: by, metrics: by.metrics.Serving(), jobs: jobs}
	jobs.dropped = s.metrics.NotEnqueued
	if c.Witness {
		if s.cosigner, err = s.witness(settings); err != nil {
			return err
		}
	}
	return s.run(ctx, settings, namespaces)
}

// serving is what all logs that are served have in common.
type serving struct {
	a       *app
	store   *auditstore.Store
	keys    []auditor.Key
	by      observers
	metrics *metrics.Serving
	jobs    *signedQueue
	// cosigner cosigns the checkpoints of other logs; nil if that was not asked for.
	cosigner *witness.Witness
}

// run serves, signs what was verified where that is the mode, and enqueues, until ctx ends.
func (s serving) run(ctx context.Context, settings *config.Config, namespaces []config.Namespace) error {
	logs, err := s.logs(namespaces)
	if err != nil {
		return err
	}
	managed, err := newManaged(ctx, s, settings.Serve.Manage, logs)
	if err != nil {
		return err
	}
	server, err := newAPIServer(ctx, settings.Serve, asksForCertificates(namespaces), s.a.log)
	if err != nil {
		return err
	}
	defer server.close()
	handler, err := api.New(api.Config{
		Store: s.store, Namespaces: managed.namespaces, Manage: managed.api(), Keys: s.keys, URL: server.origin(settings.Serve.URL), Software: software(),
		Signed: s.signed, Report: s.report, Log: s.a.log,
		Observe: func(r api.Request) { s.metrics.Request(r.Method, r.Route, r.Status, r.Took) },
	})
	if err != nil {
		return err
	}
	public, err := s.page(settings, namespaces, server.origin(settings.Serve.URL))
	if err != nil {
		return err
	}
	server.http.Handler = withPage(handler, public)
	if s.cosigner != nil {
		server.http.Handler = s.withWitness(server.http.Handler, s.cosigner)
	}
	var keys []string
	for _, k := range s.keys {
		keys = append(keys, k.Public())
	}
	s.a.log.Info().Stringer("address", server.listener.Addr()).Bool("tls", server.certificate != nil).
		Strs("namespaces", namesOf(namespaces)).Strs("keys", keys).Msg("serving the API")
	if first, none := settings.Serve.NoKeyUntil(time.Now()); none {
		s.a.log.Error().Time("not_before", first).Msg("no signing key is in use yet: nothing is signed until then")
	}
	group, loopCtx := errgroup.WithContext(ctx)
	enqueued := make(chan struct{})
	go func() { defer close(enqueued); s.jobs.run() }()
	for _, loop := range s.loops(namespaces, logs, managed.isDisabled) {
		group.Go(func() error { return loop.Run(loopCtx) })
	}
	group.Go(func() error { return managed.run(loopCtx) })
	if public != nil {
		group.Go(func() error { return public.Run(loopCtx) })
	}
	group.Go(func() error { return server.run(loopCtx, settings.ShutdownTimeout) })
	err = group.Wait()
	s.jobs.close()
	<-enqueued
	return err
}

// signed is called for each signed digest that was given. It does not block.
func (s serving) signed(namespace string, epoch uint64) {
	s.metrics.Signed(namespace, epoch, time.Now())
	s.jobs.add(namespace, epoch)
}

// report keeps what a log says that it signed itself.
func (s serving) report(ctx context.Context, namespace string, r api.Report) error {
	err := timestamp.KeepReport(ctx, s.store, namespace, r.Epoch, r.Data)
	if errors.Is(err, timestamp.ErrTooManyReports) {
		return fmt.Errorf("%w: %w", api.ErrReportsFull, err)
	}
	return err
}

// signingKeys reads the keys. They are read once: which key signs is a matter of its time.
func signingKeys(from []config.SigningKey) ([]auditor.Key, error) {
	var keys []auditor.Key
	var errs []error
	for i, k := range from {
		begins, err := k.Begins()
		if err == nil {
			var text string
			if text, err = k.Text(); err == nil {
				key, parseErr := auditor.ParseKey(text)
				keys, err = append(keys, auditor.Key{Signer: key, NotBefore: begins}), parseErr
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("serve.keys[%d]: %w", i, err))
		}
	}
	return keys, errors.Join(errs...)
}

// publicDirectory is the origin of a log directory that anybody reads over HTTPS; empty for others.
func publicDirectory(url string) string {
	public, ok := strings.CutPrefix(url, "s3list+")
	if !ok {
		return ""
	}
	public, _, _ = strings.Cut(public, "?")
	return strings.TrimSuffix(public, "/")
}
