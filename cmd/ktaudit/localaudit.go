package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

type localAuditCmd struct {
	auditorKeyFlag
	ProofPath string `group:"log" env:"KTAUDIT_PROOF_PATH,PLEXI_PROOF_PATH" placeholder:"FILE" help:"File with the proof of the epoch. Without it, only the signature is checked."`
	Previous  string `group:"log" placeholder:"HEX" help:"Digest of the epoch before, with which the proof must begin. By default that with which it does begin."`
	configurationFlag
	formatFlags
	limitFlags
	Signature string `arg:"" optional:"" name:"signature" default:"-" help:"File with the signed digest, in JSON; by default, or as -, standard input."`
}

func (localAuditCmd) Help() string {
	return `Checks a signed digest in a file, and a proof in another, without asking anybody. It takes the flags and the environment of plexi, and prints
what that prints; what was not checked goes to standard error.

Exit status: 0 what was asked to be checked is good; 1 it is not; 2 there was no telling.

Examples:
  ktaudit local-audit signed.json --verifying-key 3b6a… --proof-path proof.bin
  curl https://auditor.example/namespaces/example/audits/12 | ktaudit local-audit --verifying-key 3b6a… --long`
}

// Run checks the files.
func (c localAuditCmd) Run(ctx context.Context, a *app) error {
	configuration, err := c.configuration()
	if err != nil {
		return err
	}
	keys, err := signature.ParseKeys(c.VerifyingKey)
	switch {
	case err != nil:
		return fmt.Errorf("--verifying-key: %w", err)
	case keys.Len() == 0 && !c.NoVerify:
		return errors.New("missing flags: --verifying-key=HEX, or --no-verify to print the signed digest without checking it (try ktaudit local-audit --help)")
	case c.Previous != "" && c.ProofPath == "":
		return errors.New("--previous is of a proof: give --proof-path too")
	}
	c.limitFlags.fill(config.DefaultNamespace().Limits)
	raw, err := readFile(ctx, c.Signature, signature.MaxSize) // Parse says that it is too large
	if err != nil {
		return err
	}
	e := auditedEpoch{SignatureOutcome: outcomeUnchecked, ProofOutcome: outcomeUnchecked}
	s, err := signature.Parse(raw)
	if err != nil {
		e.rejectSignature(err)
	} else if e.describe(s); !c.NoVerify {
		err = e.verifySignature(s, &trustedKeys{Keys: keys, how: trustGiven, remember: nothing})
		if err == nil && e.SignatureOutcome == string(validator.Verified) && c.ProofPath != "" {
			err = c.checkProof(ctx, &e, s, verifier{configuration: configuration, limits: c.limitFlags})
		}
		if err != nil {
			return err
		}
	}
	e.conclude()
	summary := auditSummary{app: a, long: c.Long}
	if err := summary.print(e); err != nil {
		return err
	}
	return summary.finish()
}

// checkProof verifies the proof. Unless it is told, it takes the digest before from the proof
// itself, so that the proof shows that some tree grew into the signed one.
func (c localAuditCmd) checkProof(ctx context.Context, e *auditedEpoch, s signature.SignedDigest, v verifier) error {
	if e.Epoch == 0 {
		e.leaveProof("epoch 0 has no proof")
		return nil
	}
	name := validator.Name{Epoch: e.Epoch, Digest: s.Digest}
	if c.Previous != "" {
		var err error
		if name.PreviousDigest, err = validator.ParseDigest(c.Previous); err != nil {
			return fmt.Errorf("--previous: %w", err)
		}
	}
	in := input{label: c.ProofPath, open: func(ctx context.Context, _ uint64) (validator.Name, batch, error) {
		opened, err := openFile(ctx, c.ProofPath, c.limitFlags.fetcher())
		return name, opened, err
	}}
	info, err := os.Stat(c.ProofPath)
	if err != nil {
		return fmt.Errorf("--proof-path: %w", err)
	}
	in.once = !info.Mode().IsRegular()
	if c.Previous == "" && in.once {
		return fmt.Errorf("--proof-path %s is a pipe, which can be read only once: give --previous, or a file", c.ProofPath)
	}
	judged, err := v.verify(ctx, in, e.Epoch)
	if err == nil && c.Previous == "" && judged.Reason == string(verdict.PreviousDigestMismatch) {
		name.PreviousDigest = judged.begins
		judged, err = v.verify(ctx, in, e.Epoch)
		e.NotChecked = append(e.NotChecked, fmt.Sprintf("whether the epoch before has digest %s, with which the proof begins: give --previous", name.PreviousDigest))
	}
	if err != nil {
		return err
	}
	e.take(judged)
	if name.PreviousDigest != (validator.Digest{}) {
		e.PreviousDigest = name.PreviousDigest.String()
	}
	return nil
}
