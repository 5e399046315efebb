package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/units"
	"github.com/ktaudit/ktaudit/jobs/crosscheck"
	"github.com/ktaudit/ktaudit/jobs/statement"
	"github.com/ktaudit/ktaudit/page"
	"github.com/ktaudit/ktaudit/page/summary"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/transparency/tlogproof"
	"github.com/ktaudit/ktaudit/verdict"
)

// pageLogs are the logs for the public page.
func pageLogs(settings *config.Config, namespaces []config.Namespace) (logs []summary.Log, err error) {
	for _, n := range namespaces {
		log, err := pageLog(settings, n)
		if err != nil {
			return nil, fmt.Errorf("namespace %s: %w", n.Namespace, err)
		}
		logs = append(logs, log)
	}
	return logs, nil
}

func pageLog(settings *config.Config, n config.Namespace) (summary.Log, error) {
	anchor, err := anchorFlag{n.Anchor}.anchor()
	if err != nil {
		return summary.Log{}, err
	}
	log := summary.Log{
		Name: n.Namespace, First: n.First, Anchor: anchor, LogDirectory: publicDirectory(n.LogDirectory), Configuration: n.Configuration,
		Preset: n.Preset, Signs: n.Signing.IsOn(),
	}
	if n.Last == 0 {
		log.StaleAfter = n.SilentAfter
	}
	if n.MaxLag != "" {
		lag, err := units.ParseLag(n.MaxLag)
		if err != nil {
			return log, err
		}
		log.MaxLag = lag.Epochs
		if log.StaleAfter > 0 {
			log.StaleAfter += lag.Age // the log may be as late as that, and the audit as late as this
		}
	}
	for _, x := range n.CrossChecks {
		log.Auditors = append(log.Auditors, summary.Auditor{ID: crosscheck.ID(x.URL), URL: x.URL})
	}
	log.Keys, err = pageKeys(settings, n.Namespace)
	return log, err
}

// pageKeys are those by which others check what is said here.
func pageKeys(settings *config.Config, namespace string) (k summary.Keys, err error) {
	own, err := openVerdictLog(settings, false)
	if err != nil || own == nil {
		return k, err
	}
	if k.Verdicts, err = own.key(namespace, transparency.Verdicts); err == nil {
		k.Events, err = own.key(namespace, transparency.Events)
	}
	if err == nil {
		k.FormerVerdicts, err = own.formerKeys(namespace, transparency.Verdicts)
	}
	k.Require = settings.Witnesses.Require
	for _, m := range settings.Witnesses.Members {
		k.Witnesses = append(k.Witnesses, m.Key)
	}
	if err == nil && settings.VerdictLog.StatementKey.IsGiven() {
		signer, errSigner := statementSigner(settings, tlogproof.TierVerified)
		if err = errSigner; err == nil {
			k.Statement = signer.Key()
		}
	}
	return k, err
}

// pageStatement makes the statements of the page; nil if there are to be none.
func pageStatement(settings *config.Config, namespaces []config.Namespace) (func(string, verdict.Verdict) ([]byte, error), error) {
	if !settings.VerdictLog.StatementKey.IsGiven() {
		return nil, nil
	}
	signer, err := statementSigner(settings, tlogproof.TierVerified)
	origins := map[string]string{}
	for _, n := range namespaces {
		origins[n.Namespace] = n.StatementOrigin
	}
	return func(namespace string, v verdict.Verdict) ([]byte, error) {
		return statement.Of(v, origins[namespace], signer)
	}, err
}

// newPage returns the public page of some logs.
func newPage(settings *config.Config, namespaces []config.Namespace, c page.Config) (*page.Page, error) {
	var err error
	if c.Logs, err = pageLogs(settings, namespaces); err == nil {
		c.Statement, err = pageStatement(settings, namespaces)
	}
	if err != nil {
		return nil, err
	}
	return page.New(c)
}

// withPage serves the page beside the API, whose paths come first.
func withPage(api http.Handler, public *page.Page) http.Handler {
	if public == nil {
		return api
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		isRead := r.Method == http.MethodGet || r.Method == http.MethodHead
		if isRead && page.Owns(r.URL.Path) && !strings.Contains(r.URL.Path, "//") {
			public.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
}

// page returns the public page at an origin; nil if there is to be none.
func (s serving) page(settings *config.Config, namespaces []config.Namespace, origin string) (*page.Page, error) {
	if !settings.ServesPage() {
		return nil, nil
	}
	return newPage(settings, namespaces, page.Config{
		Store: s.store, URL: origin, Log: s.a.log,
		Observe: func(kind string, status int, took time.Duration) {
			s.metrics.Request(http.MethodGet, "page "+kind, status, took)
		},
	})
}
