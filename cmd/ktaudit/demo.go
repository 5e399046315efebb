package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/queue/inprocess"
	"github.com/ktaudit/ktaudit/jobs/worker"
)

type demoCmd struct {
	Dir    string   `group:"simulation" placeholder:"DIR" help:"Directory for the log and the verdicts. By default a new temporary directory. It is kept in both cases."`
	Epochs uint64   `group:"simulation" default:"50" placeholder:"N" help:"Number of epochs. By default ${default}."`
	Tamper []string `group:"simulation" placeholder:"EPOCH=KIND" help:"Tamper with an epoch; repeatable. Kinds: ${tamper_kinds}."`
}

func (demoCmd) Help() string {
	return `Writes a log with signed digests to local files and audits it with a queue in this process.

Examples:
  ktaudit demo
  ktaudit demo --tamper 17=rewrite
  ktaudit demo --dir ./demo --epochs 500 --tamper 100=missing --tamper 200=equivocate`
}

const demoNamespace = "demo.key-transparency.v1"

// Run simulates, audits and reports.
func (c demoCmd) Run(ctx context.Context, a *app) error {
	kept := c.Dir
	err := c.run(ctx, a, &kept)
	switch {
	case kept == "": // nothing was written
	case ctx.Err() != nil && err != nil:
		err = &unfinishedError{err, fmt.Sprintf("the log and the verdicts are in %s: `ktaudit demo --dir %s`, with the same flags, goes on", kept, shellWord(kept))}
	case c.Dir == "" && !a.json && (err == nil || errors.Is(err, errFound)):
		a.printf("\nAll of it is in the temporary folder %s, which nobody removes but you. With --dir DIR it is kept where you like.\n", kept)
	}
	return err
}

// run is Run in a directory that it makes if there is none, and says which.
func (c demoCmd) run(ctx context.Context, a *app, dir *string) (err error) {
	tamper, err := parseTamper(c.Tamper)
	if err != nil {
		return err
	}
	if c.Epochs < 1 {
		return errors.New("--epochs must be at least 1")
	}
	if c.Dir == "" {
		if c.Dir, err = os.MkdirTemp("", "ktaudit-demo-"); err != nil {
			return err
		}
		*dir = c.Dir
	}
	logDir, signatureDir, storeDir := filepath.Join(c.Dir, "log"), filepath.Join(c.Dir, "signatures"), filepath.Join(c.Dir, "audit")
	key := demoKey(0)
	err = c.simulate(ctx, a, logDir, signatureDir, simlog.Options{
		Namespace: demoNamespace, Epochs: c.Epochs, RotationShare: 0.2, Compression: simlog.Mixed, SigningKey: key, Tamper: tamper,
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(storeDir, 0o755); err != nil {
		return err
	}
	n := config.Unconfigured(demoNamespace)
	n.LogDirectory, n.Signatures = logDir, signatureDir
	n.VerifyingKeys = []config.VerifyingKey{{Key: verifyingKey(key)}}
	n.Settle = 0 // the log is completely written
	var f auditFlags
	f.AuditStore = storeDir
	f.fill(config.WithoutFile(n), n)
	opened, err := f.open(ctx, a, 1, f.shared())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.close()) }()
	status, err := runRange(ctx, a, inprocess.New(), opened.auditor, worker.RunConfig{From: 1, To: c.Epochs, Worker: f.worker()})
	if err != nil {
		return err
	}
	return a.report(status, liveState{}, nextSteps{logDirectory: logDir, store: storeDir}, false)
}

func (c demoCmd) simulate(ctx context.Context, a *app, logDir, signatureDir string, o simlog.Options) (err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	log, err := openOutput(ctx, logDir, &open)
	if err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	signatures, err := openOutput(ctx, signatureDir, &open)
	if err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	if _, err = simulateLog(ctx, a, log, signatures, o); err != nil {
		return inOtherLog("--dir", logDir, err)
	}
	return nil
}
