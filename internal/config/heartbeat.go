package config

import (
	"github.com/ktaudit/ktaudit/internal/secret"
)

// Heartbeat is an address that is pinged while all is well, such as one of healthchecks.io. The
// zero value is none.
type Heartbeat struct {
	// URL, URLFile and URLEnv are as in AlertmanagerTarget. Whoever knows it can ping it.
	URL     string `yaml:"url"`
	URLFile string `yaml:"url_file"`
	URLEnv  string `yaml:"url_env"`
	TLS     TLS    `yaml:"tls"`
}

// IsOn reports whether there is an address to ping.
func (h Heartbeat) IsOn() bool { return h.URL != "" || h.URLFile != "" || h.URLEnv != "" }

// Address reads the address.
func (h Heartbeat) Address() (string, error) {
	if h.URL != "" {
		return h.URL, nil
	}
	return secret.Read("url", h.URLFile, h.URLEnv)
}

func (v checker) heartbeat() {
	if !v.source.Given("heartbeat") {
		return
	}
	h := v.Heartbeat
	v.must("heartbeat.url", h.IsOn(), "is missing: give url, url_file or url_env")
	if h.URL != "" {
		v.check("heartbeat.url", checkHTTP(h.URL))
		v.must("heartbeat.url_file", h.URLFile == "", "url is given as well: choose one")
		v.must("heartbeat.url_env", h.URLEnv == "", "url is given as well: choose one")
	}
	v.secret("heartbeat.", "url", h.URLFile, h.URLEnv)
	v.tls("heartbeat.tls", h.TLS)
	v.must("heartbeat", v.StoreUnwritableAfter != 0, "needs to know that the audit store can be written, and store_unwritable_after: never turns that off: set a duration there")
}
