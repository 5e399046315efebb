package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
)

// cloudflare is the auditor of the public logs. Its key signed the digest of epoch 489,193 that the
// documentation of plexi shows, which a test checks.
var cloudflare = struct{ url, key string }{
	"https://plexi.key-transparency.cloudflare.com",
	"2bbfbb39997fdb95feee40ef9f8827de0256732be06f64ed6408cc7e97c7f4d4",
}

// auditorFlags are the auditors whose signed digests are checked.
type auditorFlags struct {
	Auditor []string `group:"auditor" placeholder:"URL" help:"Auditor whose signed digest of an epoch of --preset or --config is checked, under --verifying-key or the keys it had when first asked; repeatable. By default those of cross_check, or Cloudflare's for a preset."`
	pinFlags
}

// signedSource is where there may be a signed digest of an epoch.
type signedSource struct {
	label, namespace string // the log's name there

	keys func(context.Context) (*trustedKeys, error)
	get  func(context.Context, uint64) (signature.SignedDigest, error)
}

// publicEpoch is what became of an epoch of a public log.
type publicEpoch struct {
	Namespace  string            `json:"namespace"`
	Outcome    string            `json:"outcome"`
	Proof      result            `json:"proof"`
	Signatures []publicSignature `json:"signatures"`
	NotChecked []string          `json:"not_checked"`
}

// publicSignature is what became of one signed digest.
type publicSignature struct {
	Source       string `json:"source"`
	Outcome      string `json:"outcome"` // verified, rejected, missing, unknown or refused
	Error        string `json:"error,omitempty"`
	Digest       string `json:"digest,omitempty"`
	Timestamp    uint64 `json:"timestamp,omitempty"` // milliseconds since 1970
	VerifyingKey string `json:"verifying_key,omitempty"`
	Trust        string `json:"trust,omitempty"`

	notChecked []string
}

// verifyPublic fetches one epoch of the log of a preset or a configuration, and verifies it and
// what is signed for it.
func (c verifyCmd) verifyPublic(ctx context.Context, a *app) (err error) {
	if c.given() || c.Epoch == 0 || c.named() || c.Config == "" && c.Preset == "" {
		return errors.New("no input given: give files, directories or bucket URLs; or --epoch alone for one epoch of the log of --preset or --config")
	}
	_, n, err := c.loadOne(c.Namespace)
	if err != nil {
		return err
	}
	c.Configuration = cmp.Or(c.Configuration, n.Configuration)
	configuration, err := c.configuration()
	if err != nil {
		return err
	}
	c.limitFlags.fill(n.Limits)
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	sources, err := c.sources(ctx, a, n, &open)
	if err != nil {
		return err
	}
	in, err := c.logInput(ctx, n.LogDirectory, c.wanted(), &open)
	if err != nil {
		return err
	}
	p := publicEpoch{Namespace: n.Namespace, Signatures: []publicSignature{}}
	if p.Proof, err = (verifier{configuration: configuration, limits: c.limitFlags}).verify(ctx, in, c.Epoch); err != nil {
		return err
	}
	for _, source := range sources {
		checked := source.check(ctx, p.Proof)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.Signatures = append(p.Signatures, checked)
	}
	p.conclude()
	if err := p.print(a); err != nil {
		return err
	}
	switch p.Outcome {
	case string(validator.Verified):
		return nil
	case outcomeUnknown:
		return errors.New("a signed digest could not be checked; the proof was")
	}
	return errFound
}

// askedAuditor is an auditor of a log.
type askedAuditor struct {
	url, namespace string   // the log's name there
	keys           []string // none: those that are remembered
}

// auditors are those that the flags name, or the configuration.
func (c verifyCmd) auditors(n config.Namespace) (asked []askedAuditor) {
	for _, url := range c.Auditor {
		asked = append(asked, askedAuditor{url, n.Namespace, c.VerifyingKey})
	}
	if len(asked) > 0 {
		return asked
	}
	for _, x := range n.CrossChecks {
		asked = append(asked, askedAuditor{x.URL, cmp.Or(x.Namespace, n.Namespace), x.Keys()})
	}
	if len(asked) == 0 && n.Preset != "" {
		keys := c.VerifyingKey
		if len(keys) == 0 {
			keys = []string{cloudflare.key}
		}
		asked = append(asked, askedAuditor{cloudflare.url, n.Namespace, keys})
	}
	return asked
}

func (c verifyCmd) sources(ctx context.Context, a *app, n config.Namespace, open *closers) ([]signedSource, error) {
	var sources []signedSource
	for _, asked := range c.auditors(n) {
		auditor, err := client.New(client.Config{URL: asked.url})
		if err != nil {
			return nil, fmt.Errorf("--auditor: %w", err)
		}
		sources = append(sources, signedSource{
			label: auditor.URL(), namespace: asked.namespace,
			keys: func(ctx context.Context) (*trustedKeys, error) { return c.keys(ctx, a, auditor, asked.keys) },
			get: func(ctx context.Context, epoch uint64) (signature.SignedDigest, error) {
				_, s, err := auditor.Audit(ctx, asked.namespace, epoch)
				return s, err
			},
		})
	}
	if n.Signatures == "" || len(n.Keys()) == 0 {
		return sources, nil
	}
	bucket, err := blobstore.OpenBucket(ctx, n.Signatures)
	if err != nil {
		return nil, fmt.Errorf("signatures: %w", err)
	}
	open.add(bucket.Close)
	return append(sources, signedSource{
		label: n.Signatures, namespace: n.Namespace,
		keys: func(ctx context.Context) (*trustedKeys, error) { return c.keys(ctx, a, nil, n.Keys()) },
		get: func(ctx context.Context, epoch uint64) (signature.SignedDigest, error) {
			raw, _, err := signature.BucketSource{Bucket: bucket}.Get(ctx, epoch)
			if err != nil {
				return signature.SignedDigest{}, err
			}
			return signature.Parse(raw)
		},
	}), nil
}

// check checks the signed digest of an epoch against what the log published.
func (s signedSource) check(ctx context.Context, proof result) publicSignature {
	p := publicSignature{Source: s.label}
	keys, err := s.keys(ctx)
	if err == nil {
		err = p.compare(ctx, s, keys, proof)
	}
	_, changed := errors.AsType[*changedKeysError](err)
	switch {
	case err == nil:
		p.Outcome, p.Trust = string(validator.Verified), keys.how
		return p
	case changed:
		p.Outcome = outcomeRefused
	case errors.Is(err, client.ErrNotFound) || errors.Is(err, signature.ErrNotFound):
		p.Outcome = outcomeMissing
	case isStatement(err) && !errors.Is(err, signature.ErrUnknownKey):
		p.Outcome = outcomeRejected
	default: // a new key is nothing against the log
		p.Outcome = outcomeUnknown
	}
	p.Error = err.Error()
	return p
}

func (p *publicSignature) compare(ctx context.Context, s signedSource, keys *trustedKeys, proof result) error {
	signed, err := s.get(ctx, proof.Epoch)
	if err != nil {
		return err
	}
	p.Digest, p.Timestamp = hex.EncodeToString(signed.Digest[:]), signed.Timestamp
	if p.VerifyingKey, err = keys.signer(signed); err != nil {
		return err
	}
	published := signed.Digest // if the log published nothing, or several
	if digest, err := validator.ParseDigest(proof.Digest); err == nil {
		published = digest
	}
	if err := signature.Check(signed, s.namespace, proof.Epoch, published); err != nil {
		return err
	}
	previous, err := s.get(ctx, proof.Epoch-1)
	if errors.Is(err, client.ErrNotFound) || errors.Is(err, signature.ErrNotFound) {
		p.notChecked = append(p.notChecked, fmt.Sprintf("the digest before and the order of time: %s has no signed digest of epoch %d", s.label, proof.Epoch-1))
		return nil
	}
	if err == nil {
		_, err = keys.signer(previous)
	}
	if err != nil {
		return fmt.Errorf("signed digest of epoch %d: %w", proof.Epoch-1, err)
	}
	begins := previous.Digest
	if digest, err := validator.ParseDigest(proof.PreviousDigest); err == nil {
		begins = digest
	}
	if err := signature.Check(previous, s.namespace, proof.Epoch-1, begins); err != nil {
		return err
	}
	return signature.CheckOrder(previous, signed)
}

// conclude sets the outcome, the worst of all, and what was not checked.
func (p *publicEpoch) conclude() {
	p.Outcome = p.Proof.Outcome
	if len(p.Signatures) == 0 {
		p.NotChecked = append(p.NotChecked, "any signature: no auditor of this log is known here; give --auditor")
	}
	for _, s := range p.Signatures {
		switch s.Outcome {
		case string(validator.Verified):
			if s.Trust == trustFirstUse {
				p.NotChecked = append(p.NotChecked, fmt.Sprintf("whether the key is that of %s: it is trusted from this first use on", s.Source))
			}
		case outcomeMissing:
			p.NotChecked = append(p.NotChecked, fmt.Sprintf("a signature by %s: it has none of this epoch", s.Source))
		case outcomeUnknown:
			p.NotChecked = append(p.NotChecked, fmt.Sprintf("the signature by %s: %s", s.Source, text.Clean(s.Error, maxShownText)))
			if p.Outcome == string(validator.Verified) {
				p.Outcome = outcomeUnknown
			}
		default:
			p.Outcome = outcomeRejected
		}
		p.NotChecked = append(p.NotChecked, s.notChecked...)
	}
	p.NotChecked = append(p.NotChecked, "other epochs, and whether others are shown the same digest")
}

func (p publicEpoch) print(a *app) error {
	if a.json {
		return a.object(p)
	}
	var s verifySummary
	if err := s.print(a, p.Proof); err != nil {
		return err
	}
	for _, signed := range p.Signatures {
		switch signed.Outcome {
		case string(validator.Verified):
			a.printf("signed    by %s at %s, for the same digest\n          under key %s\n", signed.Source, signedAtText(signed.Timestamp), signed.VerifyingKey)
		case outcomeMissing:
			a.printf("unsigned  by %s\n", signed.Source)
		default:
			a.printf("%-8s  the signature by %s\n          %s\n", signed.Outcome, signed.Source, text.CleanLines(signed.Error, maxShownText))
		}
	}
	for _, what := range p.NotChecked {
		a.printf("not checked: %s\n", what)
	}
	return a.out.err
}
