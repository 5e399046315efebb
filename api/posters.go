package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
)

// Posters are those who may do something: whoever has a client certificate that is admitted, or the
// bearer token. The functions are called for each request; one that is nil admits nobody.
type Posters struct {
	// Certificate returns why a client's certificates, the first of which is its own, do not admit
	// it, or nil; internal/clientca has a rule.
	Certificate func(shown []*x509.Certificate) error
	Token       func() string // empty: no token is enough
}

// admit returns who of them a request is from, or why it is from none. It reads nothing of the
// body.
func (p Posters) admit(r *http.Request) (who string, err error) {
	token := ""
	if p.Token != nil {
		token = p.Token()
	}
	given, hasToken := bearer(r)
	if hasToken && token != "" && same(given, token) {
		return "bearer token", nil
	}
	hasCertificate := r.TLS != nil && len(r.TLS.PeerCertificates) > 0
	if hasCertificate && p.Certificate != nil && p.Certificate(r.TLS.PeerCertificates) == nil {
		shown := r.TLS.PeerCertificates[0]
		return fmt.Sprintf("certificate %.200s, number %x", shown.Subject, shown.SerialNumber), nil
	}
	refused := &problem{kind: kindUnauthorized, detail: "a client certificate or a bearer token is needed", challenge: "Bearer", hangUp: true}
	switch {
	case hasToken:
		refused.detail, refused.challenge = "this is not the token", `Bearer error="invalid_token"`
	case hasCertificate:
		refused.kind, refused.detail, refused.challenge = kindForbidden, "this client certificate may not do this, or not any more", ""
	}
	return "", refused
}

func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}

// same compares two secrets. How long it takes tells nothing about them, nor about their lengths.
func same(a, b string) bool {
	hashOfA, hashOfB := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(hashOfA[:], hashOfB[:]) == 1
}
