package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// identity is a certificate with its key, and those up to its CA.
type identity struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	chain       [][]byte
}

// issue makes a certificate that a CA, or with nil itself, has signed.
func issue(t *testing.T, by *identity, serial int64, change func(*x509.Certificate)) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: fmt.Sprint("number ", serial)},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"},
	}
	if change != nil {
		change(template)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	made := &identity{key: key, chain: [][]byte{der}}
	if made.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if by != nil && len(by.chain) > 0 {
		made.chain = append(made.chain, by.chain...)
	}
	return made
}

func ca(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.ExtKeyUsage, c.DNSNames = true, true, nil, nil
	c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
}

func expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }

func (i *identity) pem() string {
	var text strings.Builder
	for _, der := range i.chain {
		_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	return text.String()
}

func (i *identity) keyPEM(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// revoke is a list of revoked certificates.
func (i *identity) revoke(t *testing.T, serials ...int64) string {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour)}
	for _, serial := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(serial), RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, i.certificate, i.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

// secured is a process that serves over TLS.
type secured struct {
	*served
	roots *x509.CertPool
}

// request asks it on a connection of its own, as a client, and returns the certificate that it
// shows; client may be nil.
func (s secured) request(client *identity, method, path, body string) (status int, text string, shown *x509.Certificate) {
	s.t.Helper()
	c := &tls.Config{RootCAs: s.roots, ServerName: "localhost", NextProtos: []string{"h2", "http/1.1"}}
	if client != nil {
		c.Certificates = []tls.Certificate{{Certificate: client.chain, PrivateKey: client.key}}
		// also to a server that names other CAs
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c.Certificates[0], nil }
	}
	transport := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequest(method, "https://"+s.api+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if response.ProtoMajor != 2 {
		s.t.Errorf("answered over %s", response.Proto)
	}
	return response.StatusCode, string(data), response.TLS.PeerCertificates[0]
}

func (s secured) post(client *identity, epoch int) (status int) {
	s.t.Helper()
	status, _, _ = s.request(client, http.MethodPost, "/namespaces/example/audits", postOf(epoch, digestLike(epoch)))
	return status
}

// TestServeTLS: whoever reads needs no certificate; who posts needs one that the log's CA has
// issued, that is valid, and that is not revoked. Files are read again when they change.
func TestServeTLS(t *testing.T) {
	t.Parallel()
	a := newServed(t, ", certificate: tls.crt, certificate_key: tls.key", "client_ca: ca.pem, client_crl: ca.crl")
	serverCA, clientCA, other := issue(t, nil, 1, ca), issue(t, nil, 2, ca), issue(t, nil, 2, ca)
	between := issue(t, clientCA, 3, ca)
	good, direct := issue(t, between, 10, nil), issue(t, clientCA, 11, nil)
	server, next := issue(t, serverCA, 20, nil), issue(t, serverCA, 21, nil)
	a.write("tls.crt", server.pem())
	a.write("tls.key", server.keyPEM(t))
	a.write("ca.pem", clientCA.pem())
	a.write("ca.crl", clientCA.revoke(t, 12))
	roots := x509.NewCertPool()
	roots.AddCert(serverCA.certificate)
	s := secured{a.serve(), roots}

	epoch := 0
	for _, c := range []struct {
		name   string
		client *identity
		want   int
	}{
		{"good", direct, http.StatusOK},
		{"good, of an intermediate CA", good, http.StatusOK},
		{"none", nil, http.StatusUnauthorized},
		{"revoked", issue(t, clientCA, 12, nil), http.StatusForbidden},
		{"expired", issue(t, clientCA, 13, expired), http.StatusForbidden},
		{"of another CA", issue(t, other, 10, nil), http.StatusForbidden},
		{"for servers", issue(t, clientCA, 14, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), http.StatusForbidden},
		{"its own", issue(t, nil, 15, nil), http.StatusForbidden},
	} {
		if c.want == http.StatusOK {
			epoch++
		}
		if status := s.post(c.client, epoch); status != c.want {
			t.Errorf("%s: %d, want %d", c.name, status, c.want)
		}
		if status, body, _ := s.request(c.client, http.MethodGet, "/info", ""); status != http.StatusOK {
			t.Errorf("%s reads: %d %s", c.name, status, body)
		}
	}

	a.write("ca.crl", clientCA.revoke(t, 12, 11))
	s.until("revoked now", func() bool { return s.post(direct, epoch) == http.StatusForbidden })
	if status := s.post(good, epoch); status != http.StatusOK {
		t.Errorf("not revoked: %d", status)
	}
	if err := os.Remove(filepath.Join(a.dir, "ca.crl")); err != nil {
		t.Fatal(err)
	}
	s.until("without the list nobody may post", func() bool { return s.post(good, epoch) == http.StatusForbidden })
	a.write("ca.crl", clientCA.revoke(t, 3))
	s.until("its CA is revoked", func() bool {
		return s.post(good, epoch) == http.StatusForbidden && s.post(direct, epoch) == http.StatusOK
	})

	shows := func() int64 {
		_, _, shown := s.request(nil, http.MethodGet, "/info", "")
		return shown.SerialNumber.Int64()
	}
	a.write("tls.crt", "nothing")
	a.write("tls.key", next.keyPEM(t))
	s.until("it says that the files are broken", func() bool {
		if got := shows(); got != 20 {
			t.Fatalf("with broken files it shows certificate %d", got)
		}
		return strings.Contains(s.log(), "the old one stays in use")
	})
	a.write("tls.crt", next.pem())
	s.until("it shows the new certificate", func() bool { return shows() == 21 })
	if log := s.end(); !strings.Contains(log, "no client certificate is admitted") {
		t.Errorf("of a list that is gone it says:\n%s", log)
	}
}
