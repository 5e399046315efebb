package config

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Warnings returns what is allowed in a valid configuration, but hardly meant.
func (c *Config) Warnings() []Problem {
	odd := &collector{file: c.file}
	warn := func(path, format string, args ...any) { odd.add(c.position(path), path, format, args...) }
	targets := c.Alerts.Targets()
	if len(targets) == 0 {
		warn("alerts", "nobody is told when an epoch is rejected: name a target")
	}
	for _, t := range targets {
		if unprotected(t.url) {
			warn(t.path+".url", "whoever is on the way can %s alerts: use https", t.withoutTLS())
		}
	}
	for i, n := range c.Namespaces {
		if strings.HasPrefix(n.LogDirectory, "s3list+http://") && unprotected(strings.TrimPrefix(n.LogDirectory, "s3list+")) {
			warn(fmt.Sprintf("namespaces[%d].log_directory", i), "whoever is on the way can have epochs rejected: use s3list+https")
		}
	}
	return odd.list
}

// unprotected tells whether a URL leaves this machine without TLS.
func unprotected(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())
}
