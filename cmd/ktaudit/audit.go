package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/blobstore/s3list"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/units"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/canary"
	"github.com/ktaudit/ktaudit/jobs/evidence"
	"github.com/ktaudit/ktaudit/jobs/share"
	"github.com/ktaudit/ktaudit/jobs/verify"
	"github.com/ktaudit/ktaudit/jobs/worker"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
	"gocloud.dev/blob"
)

// auditFlags are the settings of an audit; run, worker and reverify have them.
type auditFlags struct {
	namespaceFlag
	logDirectoryFlag
	configurationFlag
	anchorFlag
	storeFlag
	Archive *bool `group:"store" help:"Keep every batch in the audit store, not only batches of rejected epochs."`
	signatureFlags
	limitFlags
	Concurrency     int            `group:"limits" placeholder:"N" help:"Number of epochs to audit at the same time. By default four per core."`
	Memory          byteSize       `group:"limits" placeholder:"SIZE" help:"Memory for all batches in flight, such as 4GiB. By default half the memory of the machine or container."`
	ShutdownTimeout time.Duration  `group:"limits" placeholder:"DURATION" help:"Time that epochs in flight may take after the command was told to stop. By default ${default_shutdown_timeout}."`
	Settle          *time.Duration `group:"log" placeholder:"DURATION" help:"Minimum age of a batch or signed digest before an error in it is held against the log; a younger one may still be being written. By default ${default_settle}. Use 0s for a log that is completely written."`

	CanaryEvery int             `kong:"-"`
	Evidence    config.Evidence `kong:"-"`

	amongOthers bool // one log of several
	// Where the file gives a setting, if that does: an error is about that, and not about a flag.
	logAt, anchorAt, signaturesAt string
}

// limitFlags bound one batch.
type limitFlags struct {
	MaxBytes       byteSize `group:"limits" placeholder:"SIZE" help:"Maximum size of a batch after decompression. By default ${default_max_bytes}."`
	MaxStoredBytes byteSize `group:"limits" placeholder:"SIZE" help:"Maximum size of a batch as stored. By default ${default_max_stored_bytes}."`
	MaxElements    int      `group:"limits" placeholder:"N" help:"Maximum number of elements in a batch. By default ${default_max_elements}."`
	MinRate        byteSize `kong:"-"`
	Unhashed       bool     `kong:"-"` // nobody is shown the hash of a batch's bytes
}

func (f limitFlags) fetcher() fetcher.Options {
	return fetcher.Options{MaxBytes: int64(f.MaxBytes), MaxStoredBytes: int64(f.MaxStoredBytes), MinRate: int64(f.MinRate), Unhashed: f.Unhashed}
}

// fetcherAt is for the log directory at a URL.
func (f limitFlags) fetcherAt(url string) fetcher.Options {
	o := f.fetcher()
	o.Present, o.Ranges, o.ETag = blobstore.Present(url), blobstore.Ranges(url), blobstore.ETag
	return o
}

func (f limitFlags) validator() validator.Options {
	return validator.Options{MaxBytes: int64(f.MaxBytes), MaxElements: f.MaxElements}
}

func (f auditFlags) worker() worker.Config {
	return worker.Config{
		Concurrency:     cmp.Or(f.Concurrency, config.DefaultConcurrency()),
		ShutdownTimeout: cmp.Or(f.ShutdownTimeout, config.Default().ShutdownTimeout),
		NotYetDelay:     config.NotYetDelay, MaxRetryDelay: config.MaxRetryDelay, PollInterval: config.PollInterval,
	}
}

// auditing is an auditor with what it has open.
type auditing struct {
	auditor *audit.Auditor
	closers
}

// sharedByAudits is what all audits of a process have in common.
type sharedByAudits struct {
	budget *verify.Budget
	canary *canary.Canary
}

// shared is for one audit or several.
func (f auditFlags) shared() sharedByAudits {
	return sharedByAudits{verify.NewBudget(int64(f.Memory)), canary.New(f.CanaryEvery, validator.Verify)}
}

// open opens the log directory, the audit store and the signed digests. The caller closes what it
// returns.
func (f auditFlags) open(ctx context.Context, a *app, first uint64, shared sharedByAudits) (opened *auditing, err error) {
	o := &auditing{}
	defer func() {
		if err != nil {
			opened, err = nil, errors.Join(err, o.close())
		}
	}()
	c := audit.Config{
		Namespace: f.Namespace, First: max(first, 1), MinAge: config.DefaultSettle, Archive: f.Archive != nil && *f.Archive, Limits: f.limitFlags.validator(),
		Budget: shared.budget, Canary: shared.canary, Software: software(), Log: a.log,
	}
	if f.Settle != nil {
		c.MinAge = *f.Settle
	}
	if c.Configuration, err = f.configuration(); err != nil {
		return nil, err
	}
	if c.Keys, err = signature.ParseKeys(f.VerifyingKey); err != nil {
		return nil, fmt.Errorf("--verifying-key: %w", err)
	}
	if f.Signatures != "" && c.Keys.Len() == 0 {
		return nil, errors.New("--signatures needs a key to check them with: give --verifying-key")
	}
	if c.Anchor, err = f.anchor(); err != nil {
		return nil, err
	}
	log, err := a.openOfLog(ctx, f.Namespace, f.LogDirectory, f.amongOthers)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cmp.Or(f.logAt, "--log-directory"), err)
	}
	o.add(log.Close)
	c.Fetcher = fetcher.New(log, f.limitFlags.fetcherAt(f.LogDirectory))
	if c.Store, err = f.storeFlag.open(ctx); err != nil {
		return nil, err
	}
	o.add(c.Store.Close)
	if f.Signatures != "" {
		if c.Signatures, err = a.openSignatures(ctx, f.Namespace, f.Signatures, f.amongOthers); err != nil {
			return nil, fmt.Errorf("%s: %w", cmp.Or(f.signaturesAt, "--signatures"), err)
		}
		o.add(c.Signatures.Close)
	}
	c.Evidence = newCollector(f.Evidence, evidence.Collector{
		Namespace: f.Namespace, Fetcher: c.Fetcher, Store: c.Store, Signatures: c.Signatures, Log: a.log,
	})
	if o.auditor, err = audit.New(c); err != nil {
		return nil, err
	}
	if err := o.auditor.CheckAnchor(ctx); err != nil {
		// Among several logs, one that shows another history must not stop the others.
		if !f.amongOthers {
			return nil, fmt.Errorf("%s: %w", cmp.Or(f.anchorAt, "--anchor"), err)
		}
		a.log.Error().Str("namespace", f.Namespace).Err(err).Msg("log does not begin with its anchor: it is not judged, and the other logs are")
	}
	return o, nil
}

// newCollector completes a collector of evidence.
func newCollector(settings config.Evidence, c evidence.Collector) *evidence.Collector {
	c.MaxBatches, c.MaxBytes, c.Software = settings.MaxBatches, int64(settings.MaxBytes), software()
	return &c
}

// withAuditor has something done with the auditor of one log, whose audit begins with epoch first
// (0: the default), and sends the alerts that this raises.
func (f auditFlags) withAuditor(ctx context.Context, a *app, settings *config.Config, first uint64, do func(*audit.Auditor) error) (err error) {
	targets, err := newAlertTargets(settings)
	if err != nil {
		return err
	}
	opened, err := f.open(ctx, a, cmp.Or(first, config.DefaultNamespace().First), f.shared())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.close()) }()
	return targets.sendAlerts(ctx, opened.auditor.Store, []string{f.Namespace}, nil, a.log, func() error { return do(opened.auditor) })
}

// openAll opens an auditor for each log, within one budget. The caller closes what is added to
// open, also after an error.
func (f auditFlags) openAll(
	ctx context.Context, a *app, command string, settings *config.Config, namespaces []config.Namespace, open *closers,
) ([]*audit.Auditor, error) {
	f.fillCommon(settings)
	if has := share.MachineMemory(); int64(f.Memory) > has {
		a.log.Warn().Stringer("memory", units.Bytes(f.Memory)).Stringer("available", units.Bytes(has)).
			Msg("memory for batches is more than this machine or container has, so this process may be killed: give less, or leave it out")
	}
	shared := f.shared()
	each := make([]auditFlags, len(namespaces))
	for i, n := range namespaces {
		one := f
		one.fill(settings, n)
		one.amongOthers = len(namespaces) > 1
		if err := one.complete(command); err != nil {
			return nil, err
		}
		each[i] = one
	}
	all := make([]*auditing, len(namespaces))
	err := forEach(namespaces, func(i int, n config.Namespace) (err error) {
		all[i], err = each[i].open(ctx, a, cmp.Or(n.First, config.DefaultNamespace().First), shared)
		if err != nil && len(namespaces) > 1 {
			err = fmt.Errorf("%s: %w", n.Namespace, err)
		}
		return err
	})
	var auditors []*audit.Auditor
	for _, opened := range all {
		if opened != nil && opened.auditor != nil {
			open.add(opened.close)
			auditors = append(auditors, opened.auditor)
		}
	}
	if err == nil {
		err = f.checkWritable(ctx, a, auditors[0].Store)
	}
	for _, auditor := range auditors {
		if err == nil {
			err = auditor.TestJudge(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	return auditors, nil
}

// forEach does something with all logs at the same time, so that one whose server hangs costs the
// others nothing. It returns the first error, in the order of the logs.
func forEach(namespaces []config.Namespace, do func(i int, n config.Namespace) error) error {
	errs := make([]error, len(namespaces))
	var group sync.WaitGroup
	for i, n := range namespaces {
		group.Go(func() { errs[i] = do(i, n) })
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// openOfLog opens a bucket of a log. Among several logs, one whose server is down must not keep the
// others from being audited, nor alerts from being sent: its bucket is opened all the same, and
// reads are retried until the server is back. A wrong configuration is an error in any case.
func (a *app) openOfLog(ctx context.Context, namespace, url string, amongOthers bool) (*blob.Bucket, error) {
	bucket, err := blobstore.OpenBucket(ctx, url)
	if amongOthers && ctx.Err() == nil && errors.Is(err, blobstore.ErrNoAnswer) {
		a.log.Warn().Str("namespace", namespace).Err(err).Msg("log is out of reach: ktaudit keeps trying, and audits the other logs meanwhile")
		bucket, err = blobstore.OpenUnasked(ctx, url)
	}
	var notices s3list.Notices
	if err == nil && bucket.As(&notices) {
		notices.OnRefusal(func() {
			a.log.Warn().Str("namespace", namespace).Msg("the log's server refuses listings with a random query parameter, so ktaudit lists without: " +
				"a cache on the way may hide new epochs for a while; random=false in the log's URL ends this warning")
		})
	}
	return bucket, err
}

// openSignatures opens the signed digests of a log: those that an auditor serves, which is not
// asked here yet, or those in a bucket.
func (a *app) openSignatures(ctx context.Context, namespace, url string, amongOthers bool) (*blob.Bucket, error) {
	if client.IsBucketURL(url) {
		return client.OpenBucket(url)
	}
	return a.openOfLog(ctx, namespace, url, amongOthers)
}

// closers close what was opened, the last opened first.
type closers []func() error

func (c *closers) add(f func() error) { *c = append(*c, f) }

func (c *closers) close() error {
	var errs []error
	for i := len(*c) - 1; i >= 0; i-- {
		errs = append(errs, (*c)[i]())
	}
	*c = nil
	return errors.Join(errs...)
}
