package clientca_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/clientca"
)

// now is when certificates are shown; those that are good are so for an hour around it.
var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

type issuer struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

// issue makes a certificate; without by it signs itself. change may alter it.
func issue(t *testing.T, by *issuer, change func(*x509.Certificate)) *issuer {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "test"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	if by == nil {
		by = &issuer{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.Certificate, &key.PublicKey, by.key)
	must(t, err)
	made, err := x509.ParseCertificate(der)
	must(t, err)
	return &issuer{made, key}
}

func isCA(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
		c.Subject.CommonName, c.ExtKeyUsage = name, nil
	}
}

func (i *issuer) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Raw})
}

// revoke makes a list of revoked certificates, in PEM.
func (i *issuer) revoke(t *testing.T, until time.Time, revoked ...*issuer) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-time.Hour), NextUpdate: until}
	for _, one := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: one.SerialNumber, RevocationTime: now})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, i.Certificate, i.key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Admitted is what a CA issued for clients, while it is good and as long as it is not revoked.
func TestVerify(t *testing.T) {
	t.Parallel()
	ca, foreign := issue(t, nil, isCA("ca")), issue(t, nil, isCA("ca"))
	between := issue(t, ca, isCA("between"))
	client, other := issue(t, ca, nil), issue(t, ca, nil)
	below := issue(t, between, nil)
	for name, c := range map[string]struct {
		shown []*issuer
		lists [][]byte
		want  string // part of the error; empty: admitted
	}{
		"a client's":                  {shown: []*issuer{client}},
		"one of an intermediate's":    {shown: []*issuer{below, between}},
		"without the intermediate":    {shown: []*issuer{below}, want: "unknown authority"},
		"none":                        {want: "no client certificate"},
		"foreign, with the same name": {shown: []*issuer{issue(t, foreign, nil), foreign}, want: "unknown authority"},
		"signed by itself":            {shown: []*issuer{issue(t, nil, nil)}, want: "unknown authority"},
		"a client's, that issues":     {shown: []*issuer{issue(t, client, nil), client}, want: "cannot sign this kind of certificate"},
		"expired":                     {shown: []*issuer{issue(t, ca, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) })}, want: "expired"},
		"not good yet":                {shown: []*issuer{issue(t, ca, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Minute) })}, want: "not yet valid"},
		"a server's": {shown: []*issuer{issue(t, ca, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })},
			want: "incompatible key usage"},
		"revoked":                    {shown: []*issuer{client}, lists: [][]byte{ca.revoke(t, now.Add(time.Hour), client)}, want: "revoked"},
		"another is revoked":         {shown: []*issuer{client}, lists: [][]byte{ca.revoke(t, now.Add(time.Hour), other)}},
		"the intermediate's revoked": {shown: []*issuer{below, between}, lists: [][]byte{ca.revoke(t, now.Add(time.Hour), between)}, want: "revoked"},
		"the list is out of date":    {shown: []*issuer{client}, lists: [][]byte{ca.revoke(t, now.Add(-time.Second))}, want: "out of date"},
	} {
		cas, err := clientca.Parse(slices.Concat([][]byte{ca.pem()}, c.lists)...)
		must(t, err)
		var shown []*x509.Certificate
		for _, one := range c.shown {
			shown = append(shown, one.Certificate)
		}
		switch err := cas.Verify(shown, now); {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// What cannot be what an operator means is refused when it is read.
func TestParse(t *testing.T) {
	t.Parallel()
	ca, foreign := issue(t, nil, isCA("ca")), issue(t, nil, isCA("ca"))
	client := issue(t, ca, nil)
	for name, c := range map[string]struct {
		files [][]byte
		want  string
	}{
		"nothing":             {nil, "no CA certificate"},
		"no PEM":              {[][]byte{[]byte("certificate")}, "not PEM"},
		"something behind":    {[][]byte{append(ca.pem(), "-----BEGIN"...)}, "not PEM"},
		"no CA":               {[][]byte{client.pem()}, "not that of a CA"},
		"a key":               {[][]byte{pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY"})}, "PRIVATE KEY"},
		"damaged":             {[][]byte{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}})}, "x509"},
		"a damaged list":      {[][]byte{ca.pem(), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: []byte{1}})}, "x509"},
		"a list of another's": {[][]byte{ca.pem(), foreign.revoke(t, now)}, "not signed by any"},
		"only a list":         {[][]byte{ca.revoke(t, now)}, "no CA certificate"},
	} {
		if _, err := clientca.Parse(c.files...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := clientca.Parse(append(append(ca.pem(), ca.revoke(t, now)...), "\n"...), foreign.pem()); err != nil {
		t.Error(err)
	}
}
