// Package clientca says which client certificates are admitted: those that a certificate authority
// of the operator's has issued for clients, and has not revoked.
package clientca

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// CAs are the certificate authorities whose client certificates are admitted, and what they
// have revoked.
type CAs struct {
	pool    *x509.CertPool
	revoked map[string]bool // issuer and serial number
	// until is when the first of the lists of revoked certificates is out of date; zero: there is
	// none.
	until time.Time
}

// Parse reads CA certificates and lists of revoked certificates (X509 CRL), in PEM. A list
// must be signed by one of the CAs.
func Parse(files ...[]byte) (*CAs, error) {
	c := &CAs{pool: x509.NewCertPool(), revoked: map[string]bool{}}
	var cas []*x509.Certificate
	var lists []*x509.RevocationList
	for _, rest := range files {
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				if len(bytes.TrimSpace(rest)) > 0 {
					return nil, errors.New("something in it is not PEM")
				}
				break
			}
			switch block.Type {
			case "CERTIFICATE":
				ca, err := x509.ParseCertificate(block.Bytes)
				if err != nil {
					return nil, err
				}
				if !ca.IsCA {
					return nil, fmt.Errorf("the certificate of %s is not that of a CA", ca.Subject)
				}
				c.pool.AddCert(ca)
				cas = append(cas, ca)
			case "X509 CRL":
				list, err := x509.ParseRevocationList(block.Bytes)
				if err != nil {
					return nil, err
				}
				lists = append(lists, list)
			default:
				return nil, fmt.Errorf("a block of type %q: want CERTIFICATE or X509 CRL", block.Type)
			}
		}
	}
	if len(cas) == 0 {
		return nil, errors.New("no CA certificate")
	}
	for _, list := range lists {
		if err := c.revoke(list, cas); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *CAs) revoke(list *x509.RevocationList, cas []*x509.Certificate) error {
	signed := false
	for _, ca := range cas {
		signed = signed || bytes.Equal(ca.RawSubject, list.RawIssuer) && list.CheckSignatureFrom(ca) == nil
	}
	if !signed {
		return fmt.Errorf("the list of revoked certificates of %s is not signed by any of the CAs", list.Issuer)
	}
	for _, entry := range list.RevokedCertificateEntries {
		c.revoked[revokedKey(list.RawIssuer, entry.SerialNumber.Bytes())] = true
	}
	if !list.NextUpdate.IsZero() && (c.until.IsZero() || list.NextUpdate.Before(c.until)) {
		c.until = list.NextUpdate
	}
	return nil
}

func revokedKey(issuer, serial []byte) string { return string(issuer) + "\x00" + string(serial) }

// Verify returns why a client's certificates are not admitted at a time, or nil. With a list of
// revoked certificates that is out of date none are: what it lacks may be the one that is shown.
func (c *CAs) Verify(shown []*x509.Certificate, now time.Time) error {
	if len(shown) == 0 {
		return errors.New("no client certificate")
	}
	if !c.until.IsZero() && now.After(c.until) {
		return fmt.Errorf("the list of revoked certificates is out of date since %s", c.until.UTC().Format(time.RFC3339))
	}
	o := x509.VerifyOptions{
		Roots: c.pool, Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, one := range shown[1:] {
		o.Intermediates.AddCert(one)
	}
	chains, err := shown[0].Verify(o)
	if err != nil {
		return err
	}
	for _, chain := range chains {
		revoked := false
		for _, one := range chain {
			revoked = revoked || c.revoked[revokedKey(one.RawIssuer, one.SerialNumber.Bytes())]
		}
		if !revoked {
			return nil
		}
	}
	return errors.New("the certificate is revoked")
}
