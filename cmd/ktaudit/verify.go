package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

type verifyCmd struct {
	configFlags
	namespaceFlag
	configurationFlag
	rangeFlags
	Epoch        uint64   `group:"log" placeholder:"EPOCH" help:"Single epoch to verify in a directory or bucket, or the epoch of a file."`
	Name         string   `group:"log" placeholder:"NAME" help:"Name of a file as published by the log, {epoch}/{previous digest}/{digest}. By default the last three parts of its path."`
	Previous     string   `group:"log" placeholder:"HEX" help:"Digest before the epoch of a file; use with --epoch and --digest instead of --name."`
	Digest       string   `group:"log" placeholder:"HEX" help:"Digest after the epoch of a file; use with --epoch and --previous instead of --name."`
	VerifyingKey []string `group:"signatures" placeholder:"HEX[@FROM-TO]" help:"Verifying key, to check the signed digests of a bundle with instead of those in it, or those of an auditor; for all epochs or for those from FROM to TO; repeatable."`
	auditorFlags
	limitFlags
	Jobs   int      `group:"limits" default:"2" placeholder:"N" help:"Number of batches to verify at the same time. By default ${default}."`
	Inputs []string `arg:"" optional:"" name:"input" help:"Files, - for standard input, directories laid out as a log, bucket URLs, or one bundle of ktaudit evidence. Without any, the log of --preset or --config."`
}

func (verifyCmd) Help() string {
	return `Checks for each batch whether it proves what its name claims. Compressed batches (zstd, gzip, s2) are recognised by their
content. In a directory it verifies every log, at any depth, and reports gaps between the epochs of a log. For a bucket give
--epoch, or --from and --to. A lone file is named by the last three parts of its path, {epoch}/{previous digest}/{digest}, or by flags. Strays are other objects under an epoch; beside a batch they say nothing against the log.

With --preset or --config and --epoch, and no input, it fetches one epoch of that log, verifies it, checks the signed digests that
auditors have of it, and says what was not checked. A signed digest that cannot be reached, or that a key which is not trusted made, gives exit status 2.

A bundle made by ktaudit evidence is checked by itself, offline. Each of its claims is PROVEN, by signed digests that contradict each
other under keys that you named; SHOWN, by bytes in the bundle of which you must believe whoever made it that the log published them; or
NOT SHOWN. Exit status 0 says that the log is convicted by its own signatures, whoever made the bundle; 3 that all that is claimed is
shown; 1 that it is not; 2 that the bundle cannot be read. The keys in a bundle, and how it says that the log's tree is hashed, are
claims, too. Name them yourself with --verifying-key and --configuration, or with --config or --preset, which no other input heeds. Without
keys that you named nothing is proven.

Examples:
  ktaudit verify log/1001/d0bb…/e100…
  ktaudit verify --epoch 1001 --previous d0bb… --digest e100… batch.zst
  curl … | ktaudit verify --name 1001/d0bb…/e100… -
  ktaudit verify ./log/1001
  ktaudit verify ./log --json
  ktaudit verify --preset whatsapp-v2 --epoch 1216291
  ktaudit verify bundle.tar.zst --verifying-key 3b6a…
  ktaudit verify --from 1000 --to 1100 "s3://log?region=us-east-1"`
}

// result is the result for one batch.
type result struct {
	Input          string  `json:"input"` // the file, or the log directory
	Epoch          uint64  `json:"epoch"`
	LastEpoch      uint64  `json:"last_epoch,omitempty"` // of several that are missing in a row
	PreviousDigest string  `json:"previous_digest,omitempty"`
	Digest         string  `json:"digest,omitempty"`
	Outcome        string  `json:"outcome"` // verified, rejected or missing
	Reason         string  `json:"reason,omitempty"`
	Detail         string  `json:"detail,omitempty"`
	Note           string  `json:"note,omitempty"` // what the outcome does not show
	Inserted       int     `json:"inserted"`
	Unchanged      int     `json:"unchanged"`
	Bytes          int64   `json:"bytes"`
	StoredBytes    int64   `json:"stored_bytes"`
	Compression    string  `json:"compression,omitempty"`
	SHA256         string  `json:"sha256,omitempty"`
	VerifySeconds  float64 `json:"verify_seconds"`
	// Strays are other objects under the epoch; nil: none.
	Strays *verdict.Strays `json:"strays,omitempty"`

	begins validator.Digest // the digest that the proof itself begins with
}

const outcomeMissing = "missing"

func (r *result) reject(reason verdict.Reason, detail string) {
	r.Outcome, r.Reason, r.Detail = string(validator.Rejected), string(reason), detail
}

// Run verifies every input and prints one line for each batch, in order.
func (c verifyCmd) Run(ctx context.Context, a *app) (err error) {
	configuration, err := c.configuration()
	if err != nil {
		return err
	}
	if err := c.checkFlags(); err != nil {
		return err
	}
	if len(c.Inputs) == 0 {
		return c.verifyPublic(ctx, a)
	}
	c.limitFlags.fill(config.DefaultNamespace().Limits)
	if len(c.Auditor) > 0 {
		return errors.New("--auditor applies to an epoch of the log of --preset or --config: leave out the inputs")
	}
	if slices.ContainsFunc(c.Inputs, isBundle) {
		if len(c.Inputs) > 1 {
			return errors.New("a bundle is checked alone: give one file")
		}
		return c.verifyBundle(ctx, a)
	}
	c.Unhashed = !a.json
	v := verifier{configuration: configuration, limits: c.limitFlags}
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	var inputs []input
	for _, arg := range c.Inputs {
		found, err := c.inputs(ctx, arg, &open)
		if err != nil {
			return err
		}
		inputs = append(inputs, found...)
	}
	var s verifySummary
	err = inOrder(ctx, c.Jobs, v.tasks(inputs), func(r result) error { return s.print(a, r) })
	if err != nil {
		return err
	}
	if !a.json {
		a.printf("%s\n", s)
	}
	if s.verified < s.total {
		return errFound
	}
	return nil
}

// checkFlags refuses flags that contradict each other.
func (c verifyCmd) checkFlags() error {
	switch {
	case c.given() && c.Epoch != 0:
		return errors.New("--epoch and --from/--to exclude each other")
	case c.Jobs < 1:
		return errors.New("--jobs must be at least 1")
	case c.Name != "" && (c.Previous != "" || c.Digest != ""):
		return errors.New("--name excludes --previous and --digest: give one or the other")
	case (c.Previous != "" || c.Digest != "") && (c.Previous == "" || c.Digest == "" || c.Epoch == 0):
		return errors.New("--epoch, --previous and --digest must be given together")
	case c.named() && len(c.Inputs) != 1:
		return errors.New("--name, or --previous and --digest, apply to one file, but several inputs are given")
	case c.given():
		return c.check()
	}
	return nil
}

// named reports whether flags name a file.
func (c verifyCmd) named() bool { return c.Name != "" || c.Previous != "" }

// verifier judges batches.
type verifier struct {
	configuration validator.Configuration
	limits        limitFlags
}

// tasks yields one task for each batch or gap, in the order in which results are printed.
func (v verifier) tasks(inputs []input) iter.Seq[task[result]] {
	return func(yield func(task[result]) bool) {
		for _, in := range inputs {
			var previous uint64
			for epoch := range in.epochs {
				if in.whole && previous != 0 && epoch-previous > 1 && !yield(gap(in, previous+1, epoch-1)) {
					return
				}
				if !yield(func(ctx context.Context) (result, error) { return v.verify(ctx, in, epoch) }) {
					return
				}
				previous = epoch
			}
		}
	}
}

// gap is the task that finds nothing between two epochs.
func gap(in input, first, last uint64) task[result] {
	r := result{Input: in.label, Epoch: first, Outcome: outcomeMissing, Detail: "no batch is there"}
	if last != first {
		r.LastEpoch = last
	}
	return func(context.Context) (result, error) { return r, nil }
}

// verify judges one batch. It expects the elements in the order that logs write them in, which
// takes little memory; if they come in another order, it reads the batch again. It also reads a
// batch that cannot be decoded again before it rejects it, since a store or a network may have
// garbled it.
func (v verifier) verify(ctx context.Context, in input, epoch uint64) (result, error) {
	options := v.limits.validator()
	options.Ordered = !in.once
	for again := !in.once; ; {
		r, err := v.attempt(ctx, in, epoch, options)
		switch garbled := err == nil && r.Reason == string(verdict.MalformedProof) || errors.Is(err, fetcher.ErrChanged); {
		case errors.Is(err, validator.ErrUnordered):
			options.Ordered = false
		case again && garbled:
			again = false
		default:
			if in.lone && r.Outcome == string(validator.Rejected) {
				r.Note = "a copy that was damaged or cut short, or another file, may look like this, too: only the log's own batch can be held against it"
			}
			return r, err
		}
	}
}

func (v verifier) attempt(ctx context.Context, in input, epoch uint64, options validator.Options) (result, error) {
	r := result{Input: in.label, Epoch: epoch}
	name, batch, err := in.open(ctx, epoch)
	if name != (validator.Name{}) {
		r.Epoch, r.PreviousDigest, r.Digest = name.Epoch, name.PreviousDigest.String(), name.Digest.String()
	}
	r.addStrays(batch.strays)
	if err != nil {
		return r, r.judgeFetch(in, err)
	}
	defer batch.Close()
	start := time.Now()
	judged, err := validator.Verify(ctx, name, batch, v.configuration, options)
	if err == nil {
		err = batch.Finish()
	}
	r.VerifySeconds = time.Since(start).Seconds()
	if err != nil {
		return r, r.judgeFetch(in, err)
	}
	info, err := batch.Info()
	switch {
	case err != nil:
		return r, fmt.Errorf("%s: %w", in.label, err)
	case in.lone && info.StoredBytes == 0: // which says nothing of the log
		return r, fmt.Errorf("%s is empty: did what writes it fail?", in.label)
	}
	r.Outcome, r.Reason, r.Detail = string(judged.Outcome), string(judged.Reason), judged.Detail
	r.Inserted, r.Unchanged, r.begins = judged.Inserted, judged.Unchanged, judged.PreviousDigest
	r.Bytes, r.StoredBytes, r.Compression, r.SHA256 = info.Bytes, info.StoredBytes, info.Compression, info.SHA256
	return r, nil
}

// judgeFetch turns fetcher errors that show the batch to be wrong into an outcome, and returns
// others.
func (r *result) judgeFetch(in input, err error) error {
	reason := fetcher.Reason(err)
	switch {
	case errors.Is(err, fetcher.ErrNotPublished):
		r.Outcome, r.Detail = outcomeMissing, "no batch is there"
	case isNotSigned(err):
		r.Outcome, r.Detail = string(validator.Rejected), err.Error()
	case reason != "":
		r.reject(reason, err.Error())
		if several, ok := errors.AsType[*fetcher.EquivocationError](err); ok {
			r.addStrays(several.Strays)
		} else if misnamed, ok := errors.AsType[*fetcher.NameError](err); ok {
			r.addStrays(misnamed.Strays)
		}
	default:
		return fmt.Errorf("%s: %w", in.label, err)
	}
	return nil
}

func (r *result) addStrays(s fetcher.Strays) {
	if len(s.Names) > 0 {
		r.Strays = (*verdict.Strays)(&s)
	}
}

// verifySummary counts results and links each epoch to the one before it.
type verifySummary struct {
	total, verified, rejected, missing uint64
	last                               result
}

// print prints one result. Neighbouring epochs must share a digest: if an epoch does not start
// where the one before it ended, the log has shown two trees for one epoch, however valid each
// batch is by itself.
func (s *verifySummary) print(a *app, r result) error {
	verified := string(validator.Verified)
	neighbours := r.Input == s.last.Input && r.Epoch == s.last.Epoch+1 && r.Outcome == verified && s.last.Outcome == verified
	if neighbours && verdict.LinkDigests(s.last.Digest, r.PreviousDigest) == verdict.Broken {
		r.reject(verdict.Equivocation, fmt.Sprintf("epoch %d ended with digest %s, but epoch %d starts from %s",
			s.last.Epoch, s.last.Digest, r.Epoch, r.PreviousDigest))
	}
	s.last = r
	epochs, count := fmt.Sprintf("epoch %d", r.Epoch), uint64(1)
	if r.LastEpoch != 0 {
		epochs, count = fmt.Sprintf("epochs %d to %d", r.Epoch, r.LastEpoch), r.LastEpoch-r.Epoch+1
	}
	s.total += count
	switch r.Outcome {
	case verified:
		s.verified++
	case outcomeMissing:
		s.missing += count
	default:
		s.rejected++
	}
	if a.json {
		return a.object(r)
	}
	a.printf("%-8s  %s %s", r.Outcome, r.Input, epochs)
	switch r.Outcome {
	case verified:
		a.printf("  %d inserted, %d unchanged\n", r.Inserted, r.Unchanged)
	case outcomeMissing:
		a.printf("  %s\n", r.Detail)
	default:
		a.printf("  %s\n          %s\n", r.Reason, r.Detail)
	}
	if r.Note != "" {
		a.printf("          %s\n", r.Note)
	}
	if s := r.Strays; s != nil {
		a.printf("          strays: %s\n", namesText(s.Names, s.More))
	}
	return a.out.err
}

// maxStraysShown is how many keys that are no batch are printed for a human; --json has more.
const maxStraysShown = 3

// namesText is a few names, and how many more there are.
func namesText(names []string, more int) string {
	shown := names[:min(len(names), maxStraysShown)]
	text := strings.Join(shown, ", ")
	if more += len(names) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// String is the last line.
func (s verifySummary) String() string {
	text := fmt.Sprintf("%d of %d verified", s.verified, s.total)
	var wrong []string
	if s.rejected > 0 {
		wrong = append(wrong, fmt.Sprintf("%d rejected", s.rejected))
	}
	if s.missing > 0 {
		wrong = append(wrong, fmt.Sprintf("%d missing", s.missing))
	}
	if len(wrong) > 0 {
		text += ": " + strings.Join(wrong, ", ")
	}
	return text
}
