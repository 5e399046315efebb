package main

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/witnessing"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/transparency/witnesses"
	"golang.org/x/mod/sumdb/note"
)

// errNoVerdictLog ends commands that need a verdict log.
var errNoVerdictLog = errors.New("no verdict log is configured: give --config, with the section verdict_log (docs/verdict-log.md)")

// verdictLog is the verdict log of a configuration, with its keys.
type verdictLog struct {
	settings  config.VerdictLog
	witnesses config.Witnesses
	public    ed25519.PublicKey
	former    []ed25519.PublicKey
	private   ed25519.PrivateKey // nil: it can only be checked
}

// openVerdictLog reads the keys of the verdict log; nil if none is configured. Where nothing is to
// be signed, the public key does.
func openVerdictLog(settings *config.Config, signs bool) (*verdictLog, error) {
	s := settings.VerdictLog
	if !s.IsOn() {
		return nil, nil
	}
	v := &verdictLog{settings: s, witnesses: settings.Witnesses}
	var err error
	if v.public, err = s.Public(); err == nil {
		v.former, err = s.Former()
	}
	if err != nil {
		return nil, fmt.Errorf("verdict_log: %w", err)
	}
	if v.public != nil && !signs {
		return v, nil
	}
	if !s.Key.IsGiven() {
		return nil, errors.New("verdict_log.key: is missing, and only public_key is given: what signs needs the key itself")
	}
	keyText, err := s.Key.Text()
	if err == nil {
		v.private, err = auditor.ParseKey(keyText)
	}
	if err != nil {
		hint := ""
		if !signs {
			hint = " (to check, verdict_log.public_key does)"
		}
		return nil, fmt.Errorf("verdict_log.key: %w%s", err, hint)
	}
	public := v.private.Public().(ed25519.PublicKey)
	if v.public != nil && !v.public.Equal(public) {
		return nil, fmt.Errorf("verdict_log.public_key is not that of verdict_log.key, which is %s: correct one of them", hex.EncodeToString(public))
	}
	v.public = public
	return v, nil
}

// needVerdictLog is openVerdictLog for commands that are about the verdict log.
func needVerdictLog(settings *config.Config, signs bool) (*verdictLog, error) {
	v, err := openVerdictLog(settings, signs)
	if err == nil && v == nil {
		err = errNoVerdictLog
	}
	return v, err
}

// origin is the name of a log.
func (v *verdictLog) origin(namespace string, kind transparency.Kind) string {
	return transparency.Origin(v.settings.Origin, namespace, kind)
}

// key is the verifier key of a log, to give to others.
func (v *verdictLog) key(namespace string, kind transparency.Kind) (string, error) {
	return note.NewEd25519VerifierKey(v.origin(namespace, kind), v.public)
}

// formerKeys are the verifier keys of a log that signed before.
func (v *verdictLog) formerKeys(namespace string, kind transparency.Kind) (keys []string, err error) {
	for _, public := range v.former {
		key, err := note.NewEd25519VerifierKey(v.origin(namespace, kind), public)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// publicKeys are those that sign, or signed, the one in use first.
func (v *verdictLog) publicKeys() []ed25519.PublicKey {
	return append([]ed25519.PublicKey{v.public}, v.former...)
}

// own is what each checkpoint of a log must have: its origin, and a signature of the key or of a
// former one.
func (v *verdictLog) own(namespace string, kind transparency.Kind) (torchwood.Policy, error) {
	key, err := v.key(namespace, kind)
	if err != nil {
		return nil, err
	}
	former, err := v.formerKeys(namespace, kind)
	if err != nil {
		return nil, err
	}
	var verifiers []note.Verifier
	for _, key := range append([]string{key}, former...) {
		verifier, err := note.NewVerifier(key)
		if err != nil {
			return nil, err
		}
		verifiers = append(verifiers, verifier)
	}
	return transparency.Own(v.origin(namespace, kind), verifiers...), nil
}

// signer signs the checkpoints of a log; nil where there is no key that does.
func (v *verdictLog) signer(namespace string, kind transparency.Kind) (note.Signer, error) {
	if v.private == nil {
		return nil, nil
	}
	key, err := v.key(namespace, kind)
	if err != nil {
		return nil, err
	}
	const ed25519Algorithm = 1
	parts := strings.SplitN(key, "+", 3)
	secret := append([]byte{ed25519Algorithm}, v.private.Seed()...)
	return note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%s+%s", parts[0], parts[1], base64.StdEncoding.EncodeToString(secret)))
}

// open returns a log of a namespace, with who signs and who cosigns it.
func (v *verdictLog) open(store *auditstore.Store, namespace string, kind transparency.Kind) (witnessing.Log, error) {
	l := witnessing.Log{Log: transparency.Open(store, namespace, kind)}
	var err error
	if l.Own, err = v.own(namespace, kind); err == nil {
		l.Signer, err = v.signer(namespace, kind)
	}
	if err == nil && len(v.witnesses.Members) > 0 {
		c := witnesses.Config{Require: v.witnesses.Require}
		for _, m := range v.witnesses.Members {
			c.Members = append(c.Members, witnesses.Member{URL: m.URL, Key: m.Key})
		}
		if l.Witnesses, err = witnesses.New(c); err == nil {
			l.Witnessed = torchwood.ThresholdPolicy(2, l.Own, l.Witnesses.Policy())
		}
	}
	if err != nil {
		return l, fmt.Errorf("verdict log of %s: %w", namespace, err)
	}
	return l, nil
}

// both is open for both logs of a namespace.
func (v *verdictLog) both(store *auditstore.Store, namespace string) (verdicts, events witnessing.Log, err error) {
	if verdicts, err = v.open(store, namespace, transparency.Verdicts); err == nil {
		events, err = v.open(store, namespace, transparency.Events)
	}
	return verdicts, events, err
}

// loop is what keeps the verdict log of a namespace. The log directory may be nil: then nothing
// counts as never published.
func (v *verdictLog) loop(a *app, n config.Namespace, store *auditstore.Store, by observers, log *fetcher.Fetcher) (witnessing.Config, error) {
	c := witnessing.Config{
		Namespace: n.Namespace, Store: store, Every: v.settings.Every, NotPublishedAfter: v.settings.NotPublishedAfter, From: firstOfHistory(n),
		Metrics: by.jobMetrics(), Tracer: by.jobTracer(), Log: a.log.With().Str("namespace", n.Namespace).Logger(),
	}
	c.Incidents = incident.Recorder{Store: store, Metrics: c.Metrics, Log: c.Log}
	if log != nil {
		c.IsPublished = func(ctx context.Context, epoch uint64) (bool, error) { return isPublished(ctx, log, epoch) }
	}
	var err error
	c.Verdicts, c.Events, err = v.both(store, n.Namespace)
	return c, err
}

// firstOfHistory is the first epoch that a backfill of a log comes to; 0 if it has none.
func firstOfHistory(n config.Namespace) uint64 {
	if len(n.Backfills) == 0 {
		return 0
	}
	return slices.MinFunc(n.Backfills, func(a, b config.Backfill) int { return int(a.From) - int(b.From) }).From
}

// isPublished asks a log whether it has an epoch. Only a fresh answer shows that it has not.
func isPublished(ctx context.Context, log *fetcher.Fetcher, epoch uint64) (bool, error) {
	_, err := log.Locate(ctx, epoch)
	if missing, ok := errors.AsType[*fetcher.NotPublishedError](err); ok {
		if missing.Freshness.Fresh() {
			return false, nil
		}
		return false, err
	}
	_, isDouble := errors.AsType[*fetcher.EquivocationError](err)
	_, isMisnamed := errors.AsType[*fetcher.NameError](err)
	if err == nil || isDouble || isMisnamed || errors.Is(err, fetcher.ErrCrowded) {
		return true, nil
	}
	return false, err
}

// newVerdictLogLoop returns the loop that keeps the verdict log of a namespace, for schedulers and
// runs; nil if none is configured.
func newVerdictLogLoop(a *app, o observed, n config.Namespace, by observers, log *fetcher.Fetcher) (func(context.Context), error) {
	if o.verdictLog == nil {
		return nil, nil
	}
	c, err := o.verdictLog.loop(a, n, o.store, by, log)
	if err != nil {
		return nil, err
	}
	return witnessing.New(c).Run, nil
}

// appendAll brings the verdict log of a namespace up to date once, for commands that come to an
// end.
func (v *verdictLog) appendAll(ctx context.Context, a *app, n config.Namespace, store *auditstore.Store) error {
	if v == nil {
		return nil
	}
	c, err := v.loop(a, n, store, observers{}, nil)
	if err != nil {
		return err
	}
	return roundsOf(ctx, witnessing.New(c))
}

// witnessIDs are the witnesses as metrics name them.
func (v *verdictLog) witnessIDs() (ids []string) {
	if v == nil {
		return nil
	}
	for _, m := range v.witnesses.Members {
		ids = append(ids, text.HostID(strings.TrimSuffix(m.URL, "/")))
	}
	return ids
}
