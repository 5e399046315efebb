package config

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/internal/cron"
	"github.com/ktaudit/ktaudit/internal/redisurl"
	"github.com/ktaudit/ktaudit/internal/strictyaml"
)

// Validate checks every field by itself and together with the others. It returns all Problems, or
// nil. It opens nothing.
func (c *Config) Validate() error {
	problems := c.source.Collect()
	c.validate(problems)
	return problems.Err()
}

// validate adds the problems of c to those found by decoding. It skips fields that were not
// decoded.
func (c *Config) validate(problems *strictyaml.Collector) {
	v := checker{c, problems}
	v.queue()
	v.auditStore()
	if c.Listen != "" {
		v.check("listen", checkAddress(c.Listen))
	}
	if c.DebugListen != "" {
		v.check("debug_listen", checkAddress(c.DebugListen))
		v.must("debug_listen", c.DebugListen != c.Listen, "is the address of /metrics as well: choose another")
	}
	v.must("memory", c.Budget >= 0, "is negative")
	v.must("concurrency", c.Concurrency >= 0, "is negative")
	v.must("shutdown_timeout", c.ShutdownTimeout >= 0, "is negative")
	v.must("canary_every", c.CanaryEvery >= 0, "is negative")
	v.must("store_unwritable_after", c.StoreUnwritableAfter >= 0, "is negative")
	v.alerts()
	v.runbook()
	v.heartbeat()
	v.serve()
	v.verdictLog()
	v.witnesses()
	v.witness()
	v.keysApart()
	v.must("namespaces", len(c.Namespaces) > 0, "is missing: add the logs to audit")
	names, stated := map[string]int{}, map[string]int{}
	for i := range c.Namespaces {
		n, path := &c.Namespaces[i], fmt.Sprintf("namespaces[%d].", i)
		v.namespace(n, path)
		first, twice := names[n.Namespace]
		if twice && n.Namespace != "" {
			v.must(path+"namespace", false, "%s is already the name of namespaces[%d]: choose another", n.Namespace, first)
			continue
		}
		names[n.Namespace] = i
		origin := cmp.Or(n.StatementOrigin, n.Namespace)
		first, twice = stated[origin]
		v.must(path+"statement_origin", !twice, "%.80q is already what namespaces[%d] is called in statements: choose another", origin, first)
		v.check(path+"statement_origin", checkLine(n.StatementOrigin))
		stated[origin] = i
	}
}

// checker is a Config that is being validated.
type checker struct {
	*Config
	problems *strictyaml.Collector
}

// must adds a problem with the field unless ok.
func (v checker) must(path string, ok bool, format string, args ...any) {
	v.problems.Must(path, ok, format, args...)
}

// check adds err as a problem with the field.
func (v checker) check(path string, err error) { v.must(path, err == nil, "%v", err) }

func (v checker) queue() {
	v.secret("", "redis_password", v.RedisPasswordFile, v.RedisPasswordEnv)
	v.secret("", "redis_sentinel_password", v.RedisSentinelPasswordFile, v.RedisSentinelPasswordEnv)
	v.tls("redis_tls", v.RedisTLS)
	if v.Redis == "embedded" {
		for _, path := range []string{"redis_password_file", "redis_password_env"} {
			v.must(path, !v.source.Given(path), "has no effect: redis is embedded, a queue in the process")
		}
		v.must("redis_tls", !v.source.Given("redis_tls"), "has no effect: redis is embedded, a queue in the process")
	}
	for _, path := range []string{"redis_sentinel_password_file", "redis_sentinel_password_env"} {
		v.must(path, !v.source.Given(path) || strings.Contains(v.Redis, "-sentinel://"), "has an effect with redis-sentinel:// and rediss-sentinel:// only")
	}
	if v.Redis == "embedded" {
		return
	}
	u, err := redisurl.Parse(v.Redis)
	if err != nil {
		v.check("redis", redisurl.Explain(v.Redis))
		return
	}
	v.must("redis", !u.MayHoldPassword,
		"contains a password, and this file must not contain secrets: use redis_password_file or redis_password_env")
	v.must("redis_tls", !v.source.Given("redis_tls") || u.IsTLS(), "%s:// is without TLS, so this has no effect: use rediss://, rediss-sentinel:// or rediss-cluster://", u.Scheme)
}

func (v checker) auditStore() {
	scheme, _, _ := strings.Cut(v.AuditStore, "://")
	switch {
	case v.AuditStore == "":
		v.must("audit_store", false, "is missing: give the folder or bucket for the verdicts")
	case scheme == "mem":
		v.must("audit_store", false, "verdicts in memory are lost when the process ends: give a folder or a bucket")
	case strings.HasPrefix(scheme, "s3list+"):
		v.must("audit_store", false, "%s:// is read-only: give a folder or a bucket that verdicts can be written to", scheme)
	default:
		v.check("audit_store", blobstore.CheckURL(v.AuditStore))
	}
}

// runbook checks the base of the links in alerts.
func (v checker) runbook() {
	if v.Runbook == "" {
		return
	}
	if u, err := url.Parse(v.Runbook); err == nil && u.User != nil {
		v.must("runbook", false, "contains a user name or password, which every alert would show: leave it out")
		return
	}
	v.check("runbook", checkHTTP(v.Runbook))
	v.must("runbook", !strings.Contains(v.Runbook, "#"), "has a fragment, and alerts add theirs, such as #rejected: leave it out")
}

func checkAddress(text string) error {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return fmt.Errorf("%.60q is not an address such as 127.0.0.1:9464 or :9464", text)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%.60q has no port from 1 to 65535", text)
	}
	return nil
}

// checkHTTP does not repeat the URL in its error: it may contain a token.
func checkHTTP(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return fmt.Errorf("is not a URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("does not begin with https:// or http://")
	case u.Hostname() == "":
		return fmt.Errorf("has no host")
	case u.User != nil:
		return fmt.Errorf("contains a user name or password, and this file must not contain secrets: use url_file or url_env")
	}
	return nil
}

// checkCron checks when a backfill runs.
func checkCron(text string) error {
	_, err := cron.Parse(text)
	return err
}
