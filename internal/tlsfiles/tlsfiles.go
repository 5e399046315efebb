package tlsfiles

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/internal/reload"
)

// maxCABytes bounds a file of CAs: those of all public ones together take a quarter of a megabyte.
const maxCABytes = 16 << 20

// Files names the PEM files of a TLS client and the name that its server must have. All may be
// empty: then the CAs of the system are believed, no certificate is shown, and a server must have
// the name that it was reached by.
type Files struct{ CA, Certificate, Key, ServerName string }

// Config returns the configuration of a TLS client. The certificate is read again when its files
// change. While they hold none that can be used, as when one of the two was replaced, the last one
// stays in use for as long as it is good; the CAs are those of now.
func (f Files) Config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.ServerName}
	if f.CA != "" {
		var err error
		if c.RootCAs, err = readCAs(f.CA); err != nil {
			return nil, err
		}
	}
	switch {
	case f.Certificate == "" && f.Key == "":
		return c, nil
	case f.Certificate == "" || f.Key == "":
		return nil, errors.New("a client certificate and its key have no effect without each other: give both")
	}
	pair := func(contents [][]byte) (*tls.Certificate, error) {
		c, err := tls.X509KeyPair(contents[0], contents[1])
		if err != nil {
			return nil, fmt.Errorf("client certificate %s with key %s: %w", f.Certificate, f.Key, err)
		}
		return &c, nil
	}
	// A failure is told of by the connection that needs the certificate.
	files, err := reload.New(pair, func(error) {}, f.Certificate, f.Key)
	if err != nil {
		return nil, err
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		certificate, err := files.Get()
		if err != nil && time.Now().After(certificate.Leaf.NotAfter) {
			return nil, err
		}
		return certificate, nil
	}
	return c, nil
}

// readCAs reads certificates that servers' own are checked against. What else a file holds is
// refused: a key in it is a mistake, and a damaged certificate would be missed only later.
func readCAs(path string) (*x509.CertPool, error) {
	rest, _, err := reload.ReadFile(path, maxCABytes)
	if err != nil {
		return nil, fmt.Errorf("CA certificates in PEM: %w", err)
	}
	pool, found := x509.NewCertPool(), 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s has a block of type %q: want CERTIFICATE only", path, block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of %s: %w", found+1, path, err)
		}
		pool.AddCert(certificate)
		found++
	}
	if found == 0 || bytes.Contains(rest, []byte("-----BEGIN")) {
		return nil, fmt.Errorf("%s holds no whole CA certificate in PEM after the first %d", path, found)
	}
	return pool, nil
}
