package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/transparency/tlogproof"
	"github.com/ktaudit/ktaudit/verdict"
)

type checkCmd struct {
	Config       string   `group:"auditor" placeholder:"FILE" help:"Configuration file whose verdict_log and witnesses have the keys. Flags override it."`
	AuditorKey   []string `group:"auditor" placeholder:"KEY" help:"Key of the auditor's log, ORIGIN+HASH+BASE64, or 64 hexadecimal digits with --origin; repeatable, for one that was changed."`
	Origin       string   `group:"auditor" placeholder:"ORIGIN" help:"Name of the log, such as auditor.example.org/NAMESPACE, if the key is given as digits."`
	Witness      []string `group:"auditor" placeholder:"KEY" help:"Key of a witness that you trust, NAME+HASH+BASE64; repeatable."`
	Require      int      `group:"auditor" default:"-1" placeholder:"N" help:"How many of the witnesses must have cosigned. By default all."`
	Tier         string   `group:"auditor" enum:"verified,chained" default:"verified" placeholder:"TIER" help:"How much a statement must say was checked: verified, or chained, which is that the names of the epochs around it continue each other."`
	StatementKey []string `group:"auditor" placeholder:"KEY" help:"Key of an auditor's statements, ORIGIN/verified+HASH+BASE64 or /chained; repeatable."`
	File         string   `arg:"" name:"file" help:"Proof that ktaudit prove wrote, or a statement; - for standard input."`
}

func (checkCmd) Help() string {
	return `Checks what an auditor says of an epoch, by a file and by keys alone, without asking anybody: a proof that ktaudit prove wrote, or that
you downloaded from the auditor, or a statement. Get the keys by a way that you trust, and not with the file.

Prints the verdict, what the file shows, and what it does not. Exit status: 0 the auditor says that the epoch is verified (or chained, if
--tier chained asks for no more), and of a proof enough of the witnesses cosigned the log in which it says so; 1 not so: the epoch was
rejected or never published, too few witnesses cosigned, or the file fails; 2 there was no telling, for a file that cannot be read or is
of a later version, or for lack of keys.

Examples:
  ktaudit check example-1017.tlog-proof --auditor-key auditor.example.org/example+1a2b3c4d+AZ… --witness w1.example+5e6f7a8b+BC…
  ktaudit check 1017.tlog-proof --auditor-key 3b6a… --origin auditor.example.org/example
  ktaudit check 1017.statement --statement-key auditor.example.org/verified+9c0d1e2f+BD…
  ktaudit check 1017.tlog-proof --config ktaudit.yaml --json`
}

// What a file was found to be.
const (
	checkedGood = "good" // and the epoch is verified
	checkedSays = "says" // the auditor says so, and what it says is not that the epoch is verified
	checkedLack = "lacks_witnesses"
	checkedBad  = "fails"
)

// checkedFile is what check prints with --json.
type checkedFile struct {
	File      string                     `json:"file"`
	Result    string                     `json:"result"`
	Error     string                     `json:"error,omitempty"`
	Proof     *tlogproof.Result          `json:"proof,omitempty"`
	Statement *tlogproof.StatementResult `json:"statement,omitempty"`

	isMalformed bool
}

// Run checks the file.
func (c checkCmd) Run(ctx context.Context, a *app) error {
	data, err := readFile(ctx, c.File, tlogproof.MaxBytes) // one that is longer fails
	if err != nil {
		return err
	}
	result := checkedFile{File: c.File, Result: checkedGood}
	if tlogproof.IsStatement(data) {
		err = c.checkStatement(data, &result)
	} else {
		err = c.checkProof(data, &result)
	}
	fails := errors.Is(err, tlogproof.ErrMalformed) || errors.Is(err, tlogproof.ErrSignature) || errors.Is(err, tlogproof.ErrNotIncluded)
	if err != nil && !fails {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	if err != nil {
		result.Result, result.Error, result.Proof, result.Statement = checkedBad, err.Error(), nil, nil
		result.isMalformed = errors.Is(err, tlogproof.ErrMalformed)
	}
	if a.json {
		err = a.object(result)
	} else {
		a.printChecked(result)
		err = a.out.err
	}
	if err == nil && result.Result != checkedGood {
		err = errFound
	}
	return err
}

func (c checkCmd) checkProof(data []byte, result *checkedFile) error {
	keys, err := c.keys(data)
	if err != nil {
		return err
	}
	r, err := checkProof(data, keys)
	if err != nil {
		return err
	}
	result.Proof = &r
	switch {
	case !r.Met():
		result.Result = checkedLack
	case r.Verdict == nil || r.Verdict.Outcome != verdict.Verified:
		result.Result = checkedSays
	}
	return nil
}

// checkProof checks a proof under keys of which one was the auditor's when it was made, and returns
// what the first of them says if none was.
func checkProof(data []byte, keys []tlogproof.Keys) (tlogproof.Result, error) {
	var first error
	for _, k := range keys {
		r, err := tlogproof.Check(data, k)
		if !errors.Is(err, tlogproof.ErrSignature) {
			return r, err
		}
		if first == nil {
			first = err
		}
	}
	return tlogproof.Result{}, first
}

// keys are those that the reader gives, by flags or by a configuration file.
func (c checkCmd) keys(data []byte) ([]tlogproof.Keys, error) {
	var all []tlogproof.Keys
	var members []string
	require := 0
	if c.Config != "" {
		settings, err := config.Load(c.Config)
		if err != nil {
			return nil, err
		}
		if len(c.AuditorKey) == 0 {
			origin, err := tlogproof.Claimed(data)
			if err != nil {
				return nil, err
			}
			if all, err = readersKeys(settings, origin); err != nil {
				return nil, err
			}
		}
		members, require = witnessKeys(settings), settings.Witnesses.Require
	}
	for _, key := range c.AuditorKey {
		k, err := tlogproof.Auditor(key, c.Origin)
		if err != nil {
			return nil, fmt.Errorf("--auditor-key: %w", err)
		}
		all = append(all, k)
	}
	if len(all) == 0 {
		return nil, errors.New("missing flags: --auditor-key=KEY or --config=FILE: without a key from elsewhere a proof shows nothing")
	}
	if len(c.Witness) > 0 {
		members, require = c.Witness, len(c.Witness)
	}
	if c.Require >= 0 {
		require = c.Require
	}
	for i := range all {
		k, err := all[i].Require(require, members)
		if err != nil {
			return nil, fmt.Errorf("--witness: %w", err)
		}
		all[i] = k
	}
	return all, nil
}

func (c checkCmd) checkStatement(data []byte, result *checkedFile) error {
	keys := c.StatementKey
	if len(keys) == 0 && c.Config != "" {
		settings, err := config.Load(c.Config)
		if err == nil {
			keys, err = statementKeysOf(settings)
		}
		if err != nil {
			return err
		}
	}
	if len(keys) == 0 {
		return errors.New("it has the form of a statement: give --statement-key=KEY, or --config=FILE with verdict_log.statement_key, without which it shows nothing. A log's checkpoint has that form, too: `ktaudit log check --checkpoint` takes it")
	}
	r, err := tlogproof.CheckStatement(data, keys)
	if err != nil {
		return err
	}
	result.Statement = &r
	for _, s := range r.Signed { // a key whose name says no tier says less than either
		if s.Tier == tlogproof.TierVerified || string(s.Tier) == c.Tier {
			return nil
		}
	}
	result.Result = checkedSays
	return nil
}

// readersKeys are the keys of a configuration by which others check a log: one set for each key
// that signs or signed.
func readersKeys(settings *config.Config, origin string) ([]tlogproof.Keys, error) {
	if !settings.VerdictLog.IsOn() {
		return nil, errors.New("the configuration file has no verdict_log: give --auditor-key")
	}
	if !strings.HasPrefix(origin, settings.VerdictLog.Origin+"/") {
		return nil, fmt.Errorf("%w: it is of the log %.200q, which is not below %s, the origin in the configuration file",
			tlogproof.ErrSignature, origin, settings.VerdictLog.Origin)
	}
	own, err := openVerdictLog(settings, false)
	if err != nil {
		return nil, err
	}
	var all []tlogproof.Keys
	for _, key := range own.publicKeys() {
		k, err := tlogproof.Auditor(hex.EncodeToString(key), origin)
		if err == nil {
			k, err = k.Require(settings.Witnesses.Require, witnessKeys(settings))
		}
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return all, nil
}

func witnessKeys(settings *config.Config) (keys []string) {
	for _, m := range settings.Witnesses.Members {
		keys = append(keys, m.Key)
	}
	return keys
}
