package config

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Warnings returns settings that are valid but probably a mistake.
func (c *Config) Warnings() []Problem {
	odd := &collector{file: c.file}
	warn := func(path, format string, args ...any) { odd.add(c.position(path), path, format, args...) }
	targets := c.Alerts.Targets()
	if len(targets) == 0 {
		warn("alerts", "no alert target is set, so nobody is alerted when an epoch is rejected: add one")
	}
	for _, t := range targets {
		if unprotected(t.url) {
			warn(t.path+".url", "without TLS, an attacker on the network can %s alerts: use https", t.withoutTLS())
		}
	}
	for i, n := range c.Namespaces {
		if strings.HasPrefix(n.LogDirectory, "s3list+http://") && unprotected(strings.TrimPrefix(n.LogDirectory, "s3list+")) {
			warn(fmt.Sprintf("namespaces[%d].log_directory", i), "without TLS, an attacker on the network can cause epochs to be rejected: use s3list+https")
		}
	}
	return odd.list
}

// unprotected reports whether requests to a URL leave this machine without TLS.
func unprotected(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())
}
