package blobstore

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/ktaudit/ktaudit/internal/tlsfiles"
)

// tlsParameters are those of a URL that say whom ktaudit believes as the service, and what
// certificate it shows: names of PEM files, and the name that the server must have.
var tlsParameters = []string{"ca_file", "certificate", "certificate_key", "server_name"}

func withTLS(parameters ...string) []string { return append(parameters, tlsParameters...) }

// transport returns what reaches the service by the URL's parameters for TLS; nil without any.
func (l *location) transport() (*http.Transport, error) {
	if l.tls == (tlsfiles.Files{}) {
		return nil, nil
	}
	c, err := l.tls.Config()
	if err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = c
	t.MaxIdleConns, t.MaxIdleConnsPerHost = idleConnections, idleConnections
	t.Proxy = onlyTLS(t.Proxy)
	return t, nil
}

// onlyTLS refuses what would be sent without TLS, to which the environment may have led: settings
// of TLS would have no effect. A transport asks for a request's proxy first.
func onlyTLS(proxy func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		if r.URL.Scheme != "https" {
			return nil, errWithoutTLS
		}
		return proxy(r)
	}
}

var errWithoutTLS = fmt.Errorf("%s have no effect without TLS: reach the server by https", strings.Join(tlsParameters, ", "))

// isCertificateRefused reports whether the service ended a connection over the certificate that it
// was shown, or over none. net/http leaves only the text of that.
func isCertificateRefused(err error) bool {
	_, alert, ok := strings.Cut(err.Error(), "remote error: tls: ")
	return ok && strings.Contains(alert, "certificate")
}

func isOtherName(err error) bool {
	_, ok := errors.AsType[x509.HostnameError](err)
	return ok
}

func isUnknownCA(err error) bool {
	_, ok := errors.AsType[x509.UnknownAuthorityError](err)
	return ok
}
