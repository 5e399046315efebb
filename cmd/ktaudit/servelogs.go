package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/api"
	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/internal/clientca"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/reload"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/timestamp"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// minToken is how many bytes a token should have.
const minToken = 16

// verdictPoll is how often the next verdict is asked for, where verified epochs are signed.
const verdictPoll = 2 * time.Second

// logs returns the logs for the API.
func (s serving) logs(namespaces []config.Namespace) (logs []api.Namespace, err error) {
	for _, n := range namespaces {
		log, err := s.log(n)
		if err != nil {
			return nil, fmt.Errorf("namespace %s: %w", n.Namespace, err)
		}
		logs = append(logs, log)
	}
	return logs, nil
}

// loops returns what signs the verified epochs of the logs of that mode.
func (s serving) loops(namespaces []config.Namespace, logs []api.Namespace, isDisabled func(name string) bool) (loops []timestamp.Verified) {
	for i, n := range namespaces {
		if n.Signing.Mode != config.SignVerified {
			continue
		}
		loops = append(loops, timestamp.Verified{
			Namespace: n.Namespace, Store: s.store, Auditor: logs[i].Auditor, Root: logs[i].Root, Poll: verdictPoll, Log: s.logger(n.Namespace),
			Signed:   func(epoch uint64) { s.metrics.Signed(n.Namespace, epoch, time.Now()) },
			Disabled: func() bool { return isDisabled(n.Namespace) },
		})
	}
	return loops
}

func (s serving) logger(namespace string) zerolog.Logger {
	return s.a.log.With().Str("namespace", namespace).Logger()
}

// log returns a log for the API.
func (s serving) log(n config.Namespace) (api.Namespace, error) {
	anchor, err := anchorFlag{n.Anchor}.anchor()
	if err != nil {
		return api.Namespace{}, err
	}
	log := api.Namespace{
		Name: n.Namespace, First: n.First, Anchor: anchor, Configuration: n.Configuration, VerifyingKeys: statementKeysWith(s.keys, n),
		LogDirectory: publicDirectory(n.LogDirectory), Host: n.Signing.Host, Ciphersuite: uint32(n.Signing.Ciphersuite),
	}
	if n.Archive {
		var limits limitFlags
		limits.fill(n.Limits)
		log.LogDirectory, log.Proofs = "", api.Archived(s.store, n.Namespace, limits.fetcher())
	}
	if !n.Signing.IsOn() {
		return log, nil
	}
	if len(s.keys) == 0 {
		return log, errors.New("it has signing, and there is no key to sign with: make one with `ktaudit keygen`, and give serve.keys")
	}
	log.Disabled = n.Signing.Disabled
	if n.Signing.Root != "" {
		if log.Root, err = verdict.ParseAnchor(n.Signing.Root); err != nil {
			return log, fmt.Errorf("signing.root: %w", err)
		}
	}
	record := timestamp.Conflict(incident.Recorder{Store: s.store, Metrics: s.by.jobMetrics(), Log: s.logger(n.Namespace)}, n.Namespace)
	log.Auditor, err = auditor.New(auditor.Config{
		Namespace: n.Namespace, Store: s.store, Keys: s.keys, Ciphersuite: log.Ciphersuite, Root: log.Root,
		Verified: n.Signing.Mode == config.SignVerified,
		Conflict: func(ctx context.Context, c auditor.Conflict) error {
			s.metrics.Conflict(n.Namespace)
			return record(ctx, c)
		},
	})
	if err == nil {
		log.Posters, err = s.posters(n)
	}
	return log, err
}

// posters are those who may post. Their CA and token are read again when they change; while they
// cannot be read, nobody may: what was there before may have been taken away on purpose.
func (s serving) posters(n config.Namespace) (api.Posters, error) {
	var may api.Posters
	token, err := s.token("signing", n.Signing.TokenFile, n.Signing.Token, s.logger(n.Namespace))
	if err != nil {
		return may, err
	}
	may.Token = token
	if n.Signing.ClientCA == "" {
		return may, nil
	}
	paths := []string{n.Signing.ClientCA}
	if n.Signing.ClientCRL != "" {
		paths = append(paths, n.Signing.ClientCRL)
	}
	failed := func(err error) {
		logger := s.logger(n.Namespace)
		logger.Error().Err(err).Strs("files", paths).Msg("client CA cannot be read: no client certificate is admitted until it can")
	}
	cas, err := reload.New(func(contents [][]byte) (*clientca.CAs, error) { return clientca.Parse(contents...) }, failed, paths...)
	if err != nil {
		return may, fmt.Errorf("signing: %s: %w", strings.Join(paths, ", "), err)
	}
	may.Certificate = func(shown []*x509.Certificate) error {
		current, err := cas.Get()
		if err != nil {
			return err
		}
		return current.Verify(shown, time.Now())
	}
	return may, nil
}

// token returns what gives the present token: that of a file, read again when it changes, or that
// which read found in the environment.
func (s serving) token(what, file string, read func() (string, error), logger zerolog.Logger) (func() string, error) {
	fixed, err := read()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if fixed != "" && len(fixed) < minToken {
		logger.Warn().Str("token", what).Int("bytes", len(fixed)).Msg("this token is short enough to be guessed: make one with `openssl rand -hex 32`")
	}
	if file == "" {
		return func() string { return fixed }, nil
	}
	failed := func(err error) {
		logger.Error().Err(err).Msg("token cannot be read: nobody may use one until it can")
	}
	tokens, err := reload.New(func([][]byte) (string, error) { return read() }, failed, file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return func() string {
		token, err := tokens.Get()
		if err != nil {
			return ""
		}
		return token
	}, nil
}

// asksForCertificates reports whether some log may be posted to with a client certificate.
func asksForCertificates(namespaces []config.Namespace) bool {
	for _, n := range namespaces {
		if n.Signing.ClientCA != "" {
			return true
		}
	}
	return false
}
