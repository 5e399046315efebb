package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/jobs/queue"
)

// storedFlags are the flags of commands that read the audit store.
type storedFlags struct {
	configFlags
	namespaceFlag
	storeFlag
}

// logs returns the settings and the logs of the command, and completes the audit store's flag.
func (f *storedFlags) logs(command string) (*config.Config, []config.Namespace, error) {
	settings, namespaces, err := f.loadAll(f.Namespace)
	if err != nil {
		return nil, nil, err
	}
	f.storeFlag.fill(settings)
	return settings, namespaces, missing(command, "--namespace=NAME", namespaces[0].Namespace, "--audit-store=URL", f.AuditStore)
}

// log is logs for a command that takes one log.
func (f *storedFlags) log(command string) (*config.Config, config.Namespace, error) {
	settings, namespace, err := f.loadOne(f.Namespace)
	if err != nil {
		return nil, config.Namespace{}, err
	}
	f.storeFlag.fill(settings)
	return settings, namespace, missing(command, "--namespace=NAME", namespace.Namespace, "--audit-store=URL", f.AuditStore)
}

// open opens the audit store. The caller closes it.
func (f storeFlag) open(ctx context.Context) (*auditstore.Store, error) {
	store, err := auditstore.Open(ctx, f.AuditStore)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cmp.Or(f.at, "--audit-store"), err)
	}
	return store, nil
}

// openWritable is open for what writes: it returns an error if the store cannot take a verdict.
func (f storeFlag) openWritable(ctx context.Context, a *app) (*auditstore.Store, error) {
	store, err := f.open(ctx)
	if err != nil {
		return nil, err
	}
	if err := f.checkWritable(ctx, a, store); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

// checkWritable returns an error for an audit store that can only be read, or that can never keep
// verdicts: none, and no alert about that, would ever be stored. Any other fault may be temporary,
// and is logged.
func (f storeFlag) checkWritable(ctx context.Context, a *app, store *auditstore.Store) error {
	err := store.CheckWritable(ctx)
	if errors.Is(err, auditstore.ErrReadOnly) || errors.Is(err, auditstore.ErrUnfit) {
		return fmt.Errorf("%s: %w", cmp.Or(f.at, "--audit-store"), err)
	}
	if err != nil && ctx.Err() == nil {
		a.log.Warn().Err(err).Msg("the audit store cannot be written to at the moment: ktaudit goes on and tries again")
	}
	if kind := store.NetworkDisk(); kind != "" {
		a.log.Warn().Str("file_system", kind).Msg("the audit store is on a network disk: mount it hard and export it sync, " +
			"or a verdict may be lost after it was reported; a bucket is safer")
	}
	return nil
}

// queuedFlags are the flags of commands that need both the queue and the audit store of one log.
type queuedFlags struct {
	storedFlags
	queueFlags
}

// log is storedFlags.log, and completes the queue's flags.
func (f *queuedFlags) log(command string) (config.Namespace, error) {
	settings, namespace, err := f.storedFlags.log(command)
	if err == nil {
		f.queueFlags.fill(settings)
	}
	return namespace, err
}

// open opens the audit store and the queue. The caller closes what is added to open, also after an
// error.
func (f queuedFlags) open(ctx context.Context, a *app, open *closers) (*auditstore.Store, *queue.Redis, error) {
	store, err := f.storeFlag.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	open.add(store.Close)
	redis, err := f.connectShared(ctx, a)
	if err != nil {
		return nil, nil, err
	}
	open.add(redis.Close)
	return store, redis, nil
}

// eachLog does something with one log after the other, and returns errFound if something was found
// in any.
func (a *app) eachLog(namespaces []config.Namespace, do func(config.Namespace) error) error {
	var found error
	for i, n := range namespaces {
		if i > 0 && !a.json {
			a.printf("\n")
		}
		err := do(n)
		if errors.Is(err, errFound) {
			found = err
		} else if err != nil {
			return err
		}
	}
	return found
}
