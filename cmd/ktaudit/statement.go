package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/jobs/statement"
	"github.com/ktaudit/ktaudit/transparency/tlogproof"
)

type statementCmd struct {
	storedFlags
	Tier  string `group:"output" enum:"verified,chained" default:"verified" placeholder:"TIER" help:"What to state: verified, that the epoch's batch proves that the tree only grew, or chained, that the names of the epochs around it continue each other. By default verified."`
	Keys  bool   `group:"output" help:"Print the keys by which others check statements, and no statement."`
	Epoch uint64 `arg:"" optional:"" name:"epoch" help:"Epoch to state."`
}

func (statementCmd) Help() string {
	return `Prints a signed statement of an epoch on standard output: the log's name, the epoch and its digest, in three lines, as other witnesses of
key transparency logs print it, so that what two of them say can be compared byte for byte. It looks like a checkpoint of a transparency
log and is none. It is signed by verdict_log.statement_key, under a name that says how much was checked. Of a verified epoch the bytes are
always the same.

Exits with 1 if there is nothing to state: the epoch has no verdict or was rejected, or an incident on it is open; with --tier chained, if
its name is in no chain on record.

Examples:
  ktaudit statement 1017 --config ktaudit.yaml > 1017.statement
  ktaudit statement 1017 --config ktaudit.yaml --tier chained
  ktaudit statement --keys --config ktaudit.yaml
  ktaudit check 1017.statement --statement-key auditor.example.org/verified+9c0d1e2f+BD…`
}

// statedEpoch is what statement prints with --json.
type statedEpoch struct {
	Namespace string `json:"namespace"`
	Epoch     uint64 `json:"epoch"`
	Tier      string `json:"tier"`
	Statement string `json:"statement"`
	Key       string `json:"key"`
}

// statementKey is one that --keys prints.
type statementKey struct {
	Tier string `json:"tier"`
	Key  string `json:"key"`
}

// Run prints a statement, or the keys.
func (c statementCmd) Run(ctx context.Context, a *app) (err error) {
	if c.Config == "" {
		return errors.New("missing flags: --config=FILE, with verdict_log.statement_key (try ktaudit statement --help)")
	}
	if c.Keys {
		settings, err := c.load()
		if err != nil {
			return err
		}
		return a.printStatementKeys(settings)
	}
	settings, n, err := c.log("statement")
	if err != nil {
		return err
	}
	if err := checkEpochs([]uint64{c.Epoch}); err != nil {
		return err
	}
	tier := tlogproof.Tier(c.Tier)
	signer, err := statementSigner(settings, tier)
	if err != nil {
		return err
	}
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	signed, err := statement.Make(ctx, store, statement.Epoch{Namespace: n.Namespace, Epoch: c.Epoch, Origin: n.StatementOrigin, Tier: tier}, signer)
	if errors.Is(err, statement.ErrNone) {
		a.log.Warn().Msg(err.Error())
		return errFound
	}
	if err != nil {
		return err
	}
	if a.json {
		return a.object(statedEpoch{n.Namespace, c.Epoch, c.Tier, string(signed), signer.Key()})
	}
	_, err = a.out.Write(signed)
	return err
}

// statementSigner is that of the configuration for a tier.
func statementSigner(settings *config.Config, tier tlogproof.Tier) (tlogproof.StatementSigner, error) {
	l := settings.VerdictLog
	if !l.StatementKey.IsGiven() {
		return tlogproof.StatementSigner{}, errors.New("verdict_log.statement_key: is missing: without it there are no statements")
	}
	text, err := l.StatementKey.Text()
	if err != nil {
		return tlogproof.StatementSigner{}, fmt.Errorf("verdict_log.statement_key: %w", err)
	}
	key, err := auditor.ParseKey(text)
	if err != nil {
		return tlogproof.StatementSigner{}, fmt.Errorf("verdict_log.statement_key: %w", err)
	}
	return tlogproof.NewStatementSigner(l.Origin, tier, key)
}

// statementKeysOf are the keys by which statements are checked.
func statementKeysOf(settings *config.Config) ([]string, error) {
	verified, err := statementSigner(settings, tlogproof.TierVerified)
	chained, errChained := statementSigner(settings, tlogproof.TierChained)
	if err := cmp.Or(err, errChained); err != nil {
		return nil, err
	}
	return []string{verified.Key(), chained.Key()}, nil
}

func (a *app) printStatementKeys(settings *config.Config) error {
	keys, err := statementKeysOf(settings)
	if err != nil {
		return err
	}
	for i, tier := range []tlogproof.Tier{tlogproof.TierVerified, tlogproof.TierChained} {
		if a.json {
			err = a.object(statementKey{string(tier), keys[i]})
		} else {
			a.line(string(tier), "%s", keys[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}
