package api_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/api"
)

// A client certificate that is admitted is enough, and another one is told apart from none.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	good, bad := &x509.Certificate{Raw: []byte{1}}, &x509.Certificate{Raw: []byte{2}}
	w := newWorld(t, func(_ *world, _ *api.Config, n *api.Namespace) {
		n.Posters.Certificate = func(shown []*x509.Certificate) error {
			if !shown[0].Equal(good) {
				return errors.New("a secret of the CA's")
			}
			return nil
		}
	})
	post := func(token string, state *tls.ConnectionState) *http.Response {
		r := httptest.NewRequest(http.MethodPost, audits, strings.NewReader(postOf(5, hexOf(5))))
		r.TLS = state
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		recorder := httptest.NewRecorder()
		w.handler.ServeHTTP(recorder, r)
		return recorder.Result()
	}
	shows := func(c *x509.Certificate) *tls.ConnectionState {
		return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}}
	}
	read(t, post("", shows(good)), http.StatusOK)
	read(t, post(token, shows(bad)), http.StatusOK) // either is enough
	read(t, post("another", shows(good)), http.StatusOK)
	if p := wantProblem(t, post("", shows(bad)), http.StatusForbidden, "forbidden"); strings.Contains(p.Detail, "secret") {
		t.Errorf("%+v", p)
	}
	wantProblem(t, post("another", shows(bad)), http.StatusUnauthorized, "unauthorized")
	wantProblem(t, post("", &tls.ConnectionState{}), http.StatusUnauthorized, "unauthorized")
	wantProblem(t, post("", nil), http.StatusUnauthorized, "unauthorized")
}
