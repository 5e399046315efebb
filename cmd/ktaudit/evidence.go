package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/jobs/bundle"
)

type evidenceCmd struct {
	storedFlags
	configurationFlag
	VerifyingKey []string `group:"signatures" placeholder:"HEX[@FROM-TO]" help:"Key that the auditor trusts, for all epochs or for those from FROM to TO; repeatable. It goes into the bundle."`
	Output       string   `group:"output" short:"o" required:"" placeholder:"FILE" help:"File to write, such as bundle.tar.zst. It must not exist."`
	Epoch        uint64   `arg:"" help:"Epoch that was rejected, contradicted or withdrawn."`
}

func (evidenceCmd) Help() string {
	return `Makes one file of all that the audit store has on what is wrong with an epoch: verdicts, overrulings, batches, listings, signed
digests, incidents, the seal. It reads the audit store alone and works after the log has deleted everything. The tree configuration and the
trusted keys come from the configuration file or from flags. ktaudit verify checks the file on any machine.

Exits with 1 if nothing on record is wrong with the epoch.

Examples:
  ktaudit evidence 1017 --output bundle.tar.zst --config ktaudit.yaml
  ktaudit evidence 1017 --output bundle.tar.zst --namespace example --audit-store ./audit
  ktaudit verify bundle.tar.zst`
}

// bundled is what evidence prints with --json.
type bundled struct {
	Output  string   `json:"output"`
	Epoch   uint64   `json:"epoch"`
	Files   int      `json:"files"`
	Batches int      `json:"batches"`
	Missing []string `json:"missing,omitempty"`
	// Overrulings is how many later verdicts on the epoch are in it.
	Overrulings int `json:"overrulings,omitempty"`
}

// Run writes the bundle.
func (c evidenceCmd) Run(ctx context.Context, a *app) (err error) {
	settings, namespace, err := c.log("evidence")
	if err != nil {
		return err
	}
	if err := checkEpochs([]uint64{c.Epoch}); err != nil {
		return err
	}
	c.Configuration = cmp.Or(c.Configuration, namespace.Configuration, config.DefaultNamespace().Configuration)
	if _, err := c.configuration(); err != nil {
		return err
	}
	keys := c.VerifyingKey
	if len(keys) == 0 {
		keys = statementKeys(settings, namespace)
	}
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	f, err := os.OpenFile(c.Output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("--output: %s exists and is not overwritten: remove it, or name another file", c.Output)
		}
		return fmt.Errorf("--output: %w", err)
	}
	m, err := bundle.Write(ctx, f, store, bundle.About{
		Namespace: namespace.Namespace, Epoch: c.Epoch, Configuration: c.Configuration, VerifyingKeys: keys, Software: software(),
	})
	if err = errors.Join(err, f.Close()); err != nil {
		err = errors.Join(err, os.Remove(c.Output))
	}
	if errors.Is(err, bundle.ErrNothing) {
		a.log.Warn().Str("namespace", namespace.Namespace).Uint64("epoch", c.Epoch).Msg(bundle.ErrNothing.Error())
		return errFound
	} else if err != nil {
		return err
	}
	return a.reportBundle(c.Output, m)
}

func (a *app) reportBundle(output string, m bundle.Manifest) error {
	b := bundled{Output: output, Epoch: m.Epoch, Files: len(m.Files), Missing: m.Missing}
	for _, f := range m.Files {
		if f.Keys != nil {
			b.Batches++
		}
		if f.IsOverruling(m.Epoch) {
			b.Overrulings++
		}
	}
	if a.json {
		return a.object(b)
	}
	batches := "1 is a batch"
	if b.Batches != 1 {
		batches = fmt.Sprintf("%d are batches", b.Batches)
	}
	a.printf("%s: epoch %d, %d files, of which %s\n", output, b.Epoch, b.Files, batches)
	if b.Overrulings > 0 {
		a.printf("the verdict on epoch %d was overruled on record: ktaudit verify shows by whom, and why\n", b.Epoch)
	}
	for _, missing := range b.Missing {
		a.printf("not on record: %s\n", missing)
	}
	if len(m.VerifyingKeys) == 0 {
		a.printf("no key is in it, so it shows nothing by signatures: if the log signs its digests, give --verifying-key or --config\n")
	}
	a.printf("Check it with `ktaudit verify %s`.\n", output)
	return a.out.err
}
