package testservers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CA is a certificate authority whose files are in a directory of the test's own.
type CA struct {
	File string // its certificate, in PEM

	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewCA makes a certificate authority.
func NewCA(t testing.TB) *CA {
	t.Helper()
	ca := &CA{dir: t.TempDir()}
	ca.File, _ = ca.issue(t, "ca", nil)
	return ca
}

// Issue makes a certificate, for servers and clients, with a host's name or address in it, and
// returns the files of it and of its key, in PEM.
func (ca *CA) Issue(t testing.TB, host string) (certificate, key string) {
	t.Helper()
	return ca.issue(t, host, ca.certificate)
}

func (ca *CA) issue(t testing.TB, host string, by *x509.Certificate) (certificateFile, keyFile string) {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	if by == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage, template.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
		by, ca.key = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, &key.PublicKey, ca.key)
	must(t, err)
	if by == template {
		ca.certificate, err = x509.ParseCertificate(der)
		must(t, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	certificateFile, keyFile = filepath.Join(ca.dir, host+".pem"), filepath.Join(ca.dir, host+"-key.pem")
	must(t, errors.Join(
		os.WriteFile(certificateFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600)))
	return certificateFile, keyFile
}
