package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/transparency/tlogproof"
)

type proveCmd struct {
	storedFlags
	Out   string `group:"output" short:"o" placeholder:"FILE" help:"File to write, or - for standard output. By default NAMESPACE-EPOCH.tlog-proof. It must not exist."`
	Epoch uint64 `arg:"" name:"epoch" help:"Epoch whose verdict is proven."`
}

func (proveCmd) Help() string {
	return `Writes a file that proves, to anybody who has the auditor's key and those of its witnesses, what this auditor says of an epoch: the verdict,
its place in the verdict log, the signed checkpoint, and the cosignatures (C2SP tlog-proof). It is made under the newest checkpoint that
enough witnesses have cosigned; of an epoch that is newer than that, under the newest one, which is said. ktaudit check checks it, on
any machine and without asking anybody; docs/proofs.md says how others do.

With the configuration file the proof is checked before it is written.

Exits with 1 if the verdict log does not have the epoch yet, or if its proof fails: somebody has changed the audit store.

Examples:
  ktaudit prove 1017 --config ktaudit.yaml
  ktaudit prove 1017 --namespace example --audit-store ./audit --out 1017.tlog-proof
  ktaudit prove 1017 --config ktaudit.yaml --out - | ktaudit check - --config ktaudit.yaml`
}

// proven is what prove prints with --json.
type proven struct {
	Output    string `json:"output"`
	Namespace string `json:"namespace"`
	Epoch     uint64 `json:"epoch"`
	Origin    string `json:"origin"`
	Index     int64  `json:"index"`
	Entries   int64  `json:"entries"` // of the tree
	Witnessed bool   `json:"witnessed"`
	Checked   bool   `json:"checked"` // by the keys of the configuration
	Overruled bool   `json:"overruled,omitempty"`
}

// Run writes the proof.
func (c proveCmd) Run(ctx context.Context, a *app) (err error) {
	settings, n, err := c.log("prove")
	if err != nil {
		return err
	}
	if err := checkEpochs([]uint64{c.Epoch}); err != nil {
		return err
	}
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	p, err := transparency.Open(store, n.Namespace, transparency.Verdicts).Prove(ctx, c.Epoch)
	switch {
	case errors.Is(err, transparency.ErrNotCovered) || errors.Is(err, transparency.ErrNoCheckpoint):
		a.log.Warn().Msg(err.Error())
		return errFound
	case errors.Is(err, transparency.ErrInconsistent):
		a.log.Error().Err(err).Msg("the audit store was changed; `ktaudit log check` says more")
		return errFound
	case err != nil:
		return err
	}
	result := proven{
		Output: c.Out, Namespace: n.Namespace, Epoch: c.Epoch, Origin: p.Checkpoint.Origin, Index: p.Index, Entries: p.Checkpoint.N, Witnessed: p.Witnessed,
	}
	if settings.VerdictLog.IsOn() {
		keys, err := readersKeys(settings, p.Checkpoint.Origin)
		if err != nil {
			return err
		}
		checked, err := checkProof(p.File, keys)
		if err == nil && p.Witnessed && !checked.Met() {
			err = fmt.Errorf("%w: %d of %d witnesses cosigned what is on record as witnessed", tlogproof.ErrSignature, len(checked.Cosigned), checked.Required)
		}
		if err != nil {
			a.log.Error().Err(err).Msg("the proof fails under the keys of the configuration, and is not written: the audit store was changed, or a key")
			return errFound
		}
		result.Checked = true
	}
	overruled, err := report.ReadOverruled(ctx, store, n.Namespace)
	if err != nil {
		return err
	}
	result.Overruled = overruled.Of(c.Epoch) != nil
	if c.Out == "-" {
		_, err := a.out.Write(p.File)
		return err
	}
	if result.Output == "" {
		result.Output = fmt.Sprintf("%s-%d.tlog-proof", n.Namespace, c.Epoch)
	}
	if err := createFile("--out", result.Output, p.File); err != nil {
		return err
	}
	if a.json {
		return a.object(result)
	}
	a.printProven(result)
	return nil
}

func (a *app) printProven(p proven) {
	witnessed := "under a checkpoint that enough witnesses have cosigned"
	if !p.Witnessed {
		witnessed = "under a checkpoint that NO witnesses are known to have cosigned yet: it shows that the auditor says this, and not that it says the same to others"
	}
	a.printf("%s: epoch %d of %s, entry %d of %d of %s,\n%s\n", p.Output, p.Epoch, p.Namespace, p.Index, p.Entries, p.Origin, witnessed)
	if p.Overruled {
		a.printf("the verdict was overruled on record: what the file proves is the first one, and `ktaudit show %d` has what counts\n", p.Epoch)
	}
	if !p.Checked {
		a.printf("not checked here, for lack of keys: give --config with verdict_log\n")
	}
	a.printf("Check it with `ktaudit check %s`.\n", p.Output)
}

// createFile writes a file that is not there yet.
func createFile(flag, path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s: %s exists and is not overwritten: remove it, or name another file", flag, path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
