package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/internal/secret"
)

// Warnings returns settings that are valid but probably a mistake.
func (c *Config) Warnings() []Problem {
	odd := c.source.Collect()
	warn := odd.Add
	targets := c.Alerts.Targets()
	if len(targets) == 0 {
		warn("alerts", "no alert target is set, so nobody is alerted when an epoch is rejected: add one")
	}
	for _, t := range targets {
		if unprotected(t.url.text) {
			warn(t.path+".url", "without TLS, an attacker on the network can %s alerts: use https", t.withoutTLS())
		}
	}
	if host, _, err := net.SplitHostPort(c.DebugListen); err == nil && !client.IsLoopback(host) {
		warn("debug_listen", "anybody who reaches it can slow the process down and look into it: use a loopback address such as 127.0.0.1:6060")
	}
	if unprotected(c.Heartbeat.URL) {
		warn("heartbeat.url", "without TLS, an attacker on the network can ping it while this auditor is silent: use https")
	}
	for i, n := range c.Namespaces {
		if strings.HasPrefix(n.LogDirectory, "s3list+http://") && unprotected(strings.TrimPrefix(n.LogDirectory, "s3list+")) {
			warn(fmt.Sprintf("namespaces[%d].log_directory", i), "without TLS, an attacker on the network can cause epochs to be rejected: use s3list+https")
		}
	}
	c.warnOfSigning(warn)
	for i, m := range c.Witnesses.Members {
		if unprotected(m.URL) {
			warn(fmt.Sprintf("witnesses.members[%d].url", i), "without TLS, an attacker on the network can keep cosignatures away: use https")
		}
	}
	if c.VerdictLog.IsOn() && len(c.Witnesses.Members) == 0 {
		warn("verdict_log", "no witness cosigns it, so whoever takes the audit store and the key can rewrite it unseen: give witnesses")
	}
	for _, f := range c.secretFiles() {
		if mode, open := secret.IsOpenToOthers(f.file); open {
			warn(f.path, "other users of this machine can read %s (mode %04o): run `chmod 600` on it, "+
				"or have what mounts it set that mode, and replace the secret if it was there for long", f.file, mode)
		}
	}
	return odd.List()
}

// secretFile is a file with a secret, and the path of the setting that names it.
type secretFile struct{ path, file string }

func (c *Config) secretFiles() []secretFile {
	all := []secretFile{
		{"redis_password_file", c.RedisPasswordFile}, {"redis_sentinel_password_file", c.RedisSentinelPasswordFile},
		{"redis_tls.certificate_key", c.RedisTLS.CertificateKey}, {"heartbeat.url_file", c.Heartbeat.URLFile},
	}
	for _, t := range c.Alerts.Targets() {
		all = append(all, secretFile{t.path + ".url_file", t.url.file}, secretFile{t.path + "." + t.secret + "_file", t.secretFile},
			secretFile{t.path + ".tls.certificate_key", t.tls.CertificateKey})
	}
	for i, k := range c.Serve.Keys {
		all = append(all, secretFile{fmt.Sprintf("serve.keys[%d].file", i), k.File})
	}
	all = append(all, secretFile{"verdict_log.key.file", c.VerdictLog.Key.File},
		secretFile{"verdict_log.statement_key.file", c.VerdictLog.StatementKey.File}, secretFile{"witness.key.file", c.Witness.Key.File})
	all = append(all, secretFile{"serve.certificate_key", c.Serve.CertificateKey}, secretFile{"serve.manage.token_file", c.Serve.Manage.TokenFile})
	for i, n := range c.Namespaces {
		all = append(all, secretFile{fmt.Sprintf("namespaces[%d].signing.token_file", i), n.Signing.TokenFile})
	}
	return slices.DeleteFunc(all, func(f secretFile) bool { return f.file == "" })
}

// unprotected reports whether requests to a URL leave this machine without TLS.
func unprotected(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "http" && !client.IsLoopback(u.Hostname())
}
