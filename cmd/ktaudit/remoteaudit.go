package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

type auditCmd struct {
	remoteFlag
	remoteNamespaceFlag
	auditorKeyFlag
	pinFlags
	rangeFlags
	Epoch        *uint64 `group:"log" placeholder:"EPOCH" help:"Epoch to audit. By default the last one that the auditor says it verified."`
	LogDirectory string  `group:"log" placeholder:"URL" help:"Where the log's proofs are: an https URL, bucket or directory. By default where the auditor says."`
	configurationFlag
	formatFlags
	limitFlags
	Jobs int `group:"limits" default:"2" placeholder:"N" help:"Number of epochs to audit at the same time. By default ${default}."`
}

func (auditCmd) Help() string {
	return `Asks an auditor, such as Cloudflare's or ktaudit serve, for the signed digest of an epoch, checks the signature, fetches the log's proof
that the digest follows that of the epoch before, and verifies it. It takes the flags and the environment of plexi, and prints what that
prints; what was not checked goes to standard error. The signed digests of both epochs must be about what was asked, be in order of time, and be
signed by a trusted key.

Trusted are the keys given with --verifying-key. Without that, they are those that the auditor had when it was first asked, which are remembered in
a file. Another key, also one that the auditor has beside them, is refused until it is accepted with --accept-new-key.

Exit status: 0 signature and proof are good; 1 one of them is not, or the auditor's keys have changed; 2 there was no telling.

Examples:
  ktaudit audit -r https://plexi.key-transparency.cloudflare.com -n whatsapp.key-transparency.v2 --long
  ktaudit audit -r https://auditor.example -n example --from 1 --to 1000 --verifying-key 3b6a…
  ktaudit audit -r https://auditor.example -n example --epoch 12 --json`
}

// Run audits one epoch or a range of them.
func (c auditCmd) Run(ctx context.Context, a *app) (err error) {
	if err := missing("audit", "--remote-url=URL", c.RemoteURL, "--namespace=NAME", c.Namespace); err != nil {
		return err
	}
	configuration, err := c.configuration()
	if err != nil {
		return err
	}
	if err := c.checkFlags(); err != nil {
		return err
	}
	c.limitFlags.fill(config.DefaultNamespace().Limits)
	auditor, err := c.client()
	if err != nil {
		return err
	}
	r := &remoteAudit{client: auditor, namespace: c.Namespace, verifier: verifier{configuration: configuration, limits: c.limitFlags}}
	first, last, err := c.epochs(ctx, r)
	if err != nil {
		return err
	}
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	if !c.NoVerify {
		if r.keys, err = c.keys(ctx, a, auditor, c.VerifyingKey); err != nil {
			return a.refuse(err)
		}
		if err := c.findProofs(ctx, a, r, &open); err != nil {
			return err
		}
	}
	return c.audit(ctx, a, r, first, last)
}

func (c auditCmd) checkFlags() error {
	switch {
	case c.Epoch != nil && c.given():
		return errors.New("--epoch and --from/--to exclude each other")
	case c.Epoch != nil && *c.Epoch > verdict.MaxEpoch:
		return fmt.Errorf("--epoch %d is too large: the last possible epoch is %d", *c.Epoch, uint64(verdict.MaxEpoch))
	case c.Jobs < 1:
		return errors.New("--jobs must be at least 1")
	case c.NoVerify && c.AcceptNewKey: // a key may come from the environment
		return errors.New("--no-verify checks no signature: leave out --accept-new-key")
	case c.AcceptNewKey && len(c.VerifyingKey) > 0:
		return errors.New("--verifying-key says which keys are trusted: leave out --accept-new-key")
	case c.given():
		return c.check()
	}
	return nil
}

// epochs are the first and the last epoch to audit.
func (c auditCmd) epochs(ctx context.Context, r *remoteAudit) (first, last uint64, err error) {
	switch {
	case c.given():
		return c.From, c.To, nil
	case c.Epoch != nil:
		return *c.Epoch, *c.Epoch, nil
	}
	verified, err := r.client.LastVerified(ctx, c.Namespace)
	if errors.Is(err, client.ErrNotFound) {
		return 0, 0, fmt.Errorf("%s has verified no epoch of %s, or does not know that log (see ktaudit ls): give --epoch", r.client.URL(), c.Namespace)
	}
	r.last = &verified
	return verified.Epoch, verified.Epoch, err
}

// findProofs asks the auditor where the log begins and where its proofs are.
func (c auditCmd) findProofs(ctx context.Context, a *app, r *remoteAudit, open *closers) error {
	n, err := r.client.Namespace(ctx, c.Namespace)
	if errors.Is(err, client.ErrNotFound) {
		return fmt.Errorf("%s does not know %s: ktaudit ls shows what it knows", r.client.URL(), c.Namespace)
	} else if err != nil {
		return err
	}
	if r.root, err = n.Anchor(); err != nil {
		return err
	}
	directory := c.LogDirectory
	if directory == "" {
		directory = n.LogDirectory
	}
	switch {
	case directory == "":
	case strings.HasPrefix(directory, "https://") || strings.HasPrefix(directory, "http://"):
		var progress func(done, total uint64)
		if !c.given() { // else there is a bar of epochs
			progress = func(done, total uint64) { a.bars.follow("proof", "bytes", done, total) }
		}
		r.proofs = c.proofsAt(r.client, directory, progress)
	case c.LogDirectory == "":
		// An auditor may not send us to a bucket or to files of ours.
		return fmt.Errorf("%s says that the proofs are in %q, which is no https URL: give --log-directory", r.client.URL(), directory)
	default:
		r.proofs, err = c.proofsIn(ctx, directory, open)
	}
	return err
}

// proofsAt are proofs that a web server has. Progress is told how many bytes of how many have come;
// it may be nil.
func (c auditCmd) proofsAt(auditor *client.Client, directory string, progress func(done, total uint64)) func(validator.Name) input {
	return func(name validator.Name) input {
		return input{label: directory, open: func(ctx context.Context, _ uint64) (validator.Name, batch, error) {
			proof, err := auditor.Proof(ctx, directory, name.Epoch, name.PreviousDigest.String(), name.Digest.String())
			if errors.Is(err, client.ErrNotFound) {
				err = fmt.Errorf("%w: %w", fetcher.ErrNotPublished, err)
			}
			if err != nil {
				return name, batch{}, err
			}
			var reader io.Reader = proof
			if progress != nil && proof.Size > 0 {
				reader = &progressReader{r: proof, size: proof.Size, progress: progress}
			}
			decoded, err := fetcher.Decode(ctx, reader, proof.Size, c.limitFlags.fetcher())
			if err != nil {
				return name, batch{}, errors.Join(err, proof.Close())
			}
			// In this order: the batch waits for a read of the proof to return.
			end := func() error { return errors.Join(proof.Close(), decoded.Close()) }
			return name, batch{Batch: decoded, end: end}, nil
		}}
	}
}

// progressReader counts what is read.
type progressReader struct {
	r          io.Reader
	done, size int64
	progress   func(done, total uint64)
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.done += int64(n)
	p.progress(uint64(p.done), uint64(p.size))
	return n, err
}

// proofsIn are proofs in a bucket, whose listing tells what else the log published.
func (c auditCmd) proofsIn(ctx context.Context, directory string, open *closers) (func(validator.Name) input, error) {
	in, err := verifyCmd{limitFlags: c.limitFlags}.logInput(ctx, directory, nil, open)
	if err != nil {
		return nil, fmt.Errorf("--log-directory: %w", err)
	}
	return func(signed validator.Name) input {
		one := in
		one.open = func(ctx context.Context, epoch uint64) (validator.Name, batch, error) {
			name, opened, err := in.open(ctx, epoch)
			if err == nil && name != signed {
				err = errors.Join(&notSignedError{published: name, signed: signed}, opened.Close())
			}
			return name, opened, err
		}
		return one
	}, nil
}

// notSignedError is a log that published something else than was signed.
type notSignedError struct{ published, signed validator.Name }

func (e *notSignedError) Error() string {
	return fmt.Sprintf("the log published %s, and signed is %s", e.published, e.signed)
}

func isNotSigned(err error) bool {
	_, ok := errors.AsType[*notSignedError](err)
	return ok
}

// audit audits the epochs and prints what became of them.
func (c auditCmd) audit(ctx context.Context, a *app, r *remoteAudit, first, last uint64) error {
	s := auditSummary{app: a, long: c.Long, several: c.given()}
	if s.several {
		a.bars.start("audit", last-first+1)
	}
	defer a.bars.finish()
	tasks := func(yield func(task[auditedEpoch]) bool) {
		for epoch := range between(first, last) {
			if !yield(func(ctx context.Context) (auditedEpoch, error) { return r.checkFound(ctx, epoch, s.several) }) {
				return
			}
		}
	}
	err := inOrder(ctx, c.Jobs, iter.Seq[task[auditedEpoch]](tasks), s.print)
	a.bars.finish()
	if err != nil {
		if s.several {
			err = &unfinishedError{err, fmt.Sprintf("%d of %d epochs audited", s.total, last-first+1)}
		}
		return err
	}
	return s.finish()
}

// checkFound is check for which an epoch without a signed digest is a result among several.
func (r *remoteAudit) checkFound(ctx context.Context, epoch uint64, several bool) (auditedEpoch, error) {
	e, err := r.check(ctx, epoch)
	if !errors.Is(err, client.ErrNotFound) {
		return e, err
	}
	err = fmt.Errorf("%s has no signed digest of %s at epoch %d", r.client.URL(), r.namespace, epoch)
	if !several {
		return e, err
	}
	e.Outcome, e.SignatureOutcome, e.SignatureError = outcomeUnknown, outcomeUnknown, err.Error()
	return e, nil
}
