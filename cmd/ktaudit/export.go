package main

import (
	"context"
	"encoding/csv"
	"errors"
	"strconv"
	"time"

	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
)

type exportCmd struct {
	storedFlags
	rangeFlags
	strictFlag
	Format  string `group:"output" enum:"jsonl,csv" default:"jsonl" help:"Format: jsonl for the verdicts as stored, one per line, or csv."`
	Outcome string `group:"output" enum:"verified,rejected,all" default:"all" help:"Which verdicts to export: verified, rejected or all."`
}

func (exportCmd) Help() string {
	return `Writes the verdicts of a log to standard output in the order of the epochs. Without a range it writes all of them; memory
use does not grow with their number. If a verdict cannot be read, export names it and stops with exit status 2: the output so
far is correct but incomplete. Epochs without a verdict are left out and do not count for the exit status: ktaudit status
names them.

What is wrong with these epochs is also written to standard error. Exits with 1 if an epoch is rejected or something critical is
open that nobody has acknowledged; with --strict what was acknowledged counts, too. Warnings do not.

The first line of CSV names the columns. Columns never change; new ones are added at the end:
  epoch,outcome,reason,detail,previous_digest,digest,inserted,unchanged,
  key,bytes,stored_bytes,compression,sha256,signature,key_id,signed_at_ms,
  started_at,finished_at,verify_seconds,software,namespace,schema,strays,overruled
strays is how many other objects lay under the epoch; jsonl has their names. Of an epoch that was overruled the newest
verdict is written, and overruled says what it was before; jsonl says by whom and why.

Examples:
  ktaudit export --config ktaudit.yaml --namespace example > verdicts.jsonl
  ktaudit export --namespace example --audit-store ./audit --format csv --outcome rejected
  ktaudit export --namespace example --audit-store ./audit --from 1001 --to 2000`
}

// Run writes the verdicts.
func (c exportCmd) Run(ctx context.Context, a *app) (err error) {
	_, namespace, err := c.log("export")
	if err != nil {
		return err
	}
	if err := c.check(a.json); err != nil {
		return err
	}
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	write, flush := func(v verdict.Verdict, overruled *report.OverruledEpoch) error {
		return a.object(struct {
			verdict.Verdict
			Overruled *report.OverruledEpoch `json:"overruled,omitempty"`
		}{v, overruled})
	}, func() error { return nil }
	if c.Format == "csv" {
		w := newVerdictCSV(a)
		write, flush = w.write, w.flush
	}
	open, err := incident.ReadList(ctx, store, namespace.Namespace)
	if err != nil {
		return err
	}
	open = open.In(c.From, c.To)
	none, wrong := true, open.Wrong(c.Strict)
	err = report.EachVerdict(ctx, store, namespace.Namespace, c.From, c.To, func(v verdict.Verdict, overruled *report.OverruledEpoch) error {
		none = false
		if v.Outcome == verdict.Rejected && !wrong { // even if its incident was never recorded
			acknowledged, err := open.Acknowledged(ctx, report.RejectionIncident(v, overruled))
			if err != nil {
				return err
			}
			wrong = c.Strict || !acknowledged
		}
		if c.Outcome != "all" && v.Outcome != c.Outcome {
			return nil
		}
		return write(v, overruled)
	})
	if err == nil && none {
		a.log.Warn().Str("namespace", namespace.Namespace).Msg("nothing to export: no epoch of the range has a verdict")
	}
	if err = errors.Join(err, flush()); err != nil {
		return err
	}
	a.warnOfIncidents(namespace.Namespace, open.Open)
	if wrong {
		return errFound
	}
	return nil
}

func (c exportCmd) check(json bool) error {
	if json && c.Format == "csv" {
		return errors.New("--json and --format csv exclude each other: choose one")
	}
	return c.checkBounds()
}

// verdictColumns are the first line of an export as CSV. Programs rely on their order: new ones go
// to the end.
var verdictColumns = []string{
	"epoch", "outcome", "reason", "detail", "previous_digest", "digest", "inserted", "unchanged",
	"key", "bytes", "stored_bytes", "compression", "sha256", "signature", "key_id", "signed_at_ms",
	"started_at", "finished_at", "verify_seconds", "software", "namespace", "schema",
	"strays", "overruled",
}

// verdictCSV writes verdicts as CSV (RFC 4180, but with plain line ends).
type verdictCSV struct{ *csv.Writer }

func newVerdictCSV(a *app) verdictCSV {
	w := verdictCSV{csv.NewWriter(a.out)}
	_ = w.Write(verdictColumns) // flush has the error
	return w
}

func (w verdictCSV) write(v verdict.Verdict, overruled *report.OverruledEpoch) error {
	return w.Write([]string{
		strconv.FormatUint(v.Epoch, 10), v.Outcome, string(v.Reason), v.Detail, v.PreviousDigest, v.Digest,
		strconv.Itoa(v.Inserted), strconv.Itoa(v.Unchanged),
		v.Batch.Key, strconv.FormatInt(v.Batch.Bytes, 10), strconv.FormatInt(v.Batch.StoredBytes, 10), v.Batch.Compression, v.Batch.SHA256,
		v.Signature.Status, keyIDText(v.Signature.KeyID), timestampText(v.Signature.Timestamp),
		v.StartedAt.Format(time.RFC3339Nano), v.FinishedAt.Format(time.RFC3339Nano),
		strconv.FormatFloat(v.VerifySeconds, 'f', -1, 64), v.Software, v.Namespace, strconv.Itoa(v.Schema),
		strayCount(v.Strays), overruledText(overruled),
	})
}

func (w verdictCSV) flush() error {
	w.Flush()
	return w.Error()
}

// keyIDText is empty where there is no key: 0 is one.
func keyIDText(id *uint8) string {
	if id == nil {
		return ""
	}
	return strconv.Itoa(int(*id))
}

// overruledText is empty for an epoch that was not overruled; else it says what it was before.
func overruledText(o *report.OverruledEpoch) string {
	if o == nil {
		return ""
	}
	return outcomeText(o.Was, o.Reason)
}

func strayCount(s *verdict.Strays) string {
	if s == nil {
		return "0"
	}
	return strconv.Itoa(len(s.Names) + s.More)
}

func timestampText(milliseconds uint64) string {
	if milliseconds == 0 {
		return ""
	}
	return strconv.FormatUint(milliseconds, 10)
}
