package config

import "github.com/ktaudit/ktaudit/internal/tlsfiles"

// TLS says which servers are believed, and who asks them. The zero value is TLS with the CAs of the
// system and without a client certificate.
type TLS struct {
	// CAFile has the CAs whose certificates servers may have, in PEM; empty: those of the system.
	CAFile string `yaml:"ca_file"`
	// Certificate and CertificateKey are the files of the client certificate, in PEM; both or none.
	Certificate    string `yaml:"certificate"`
	CertificateKey string `yaml:"certificate_key"`
	// ServerName is the name that the server's certificate must have, if it is not the one of its
	// address.
	ServerName string `yaml:"server_name"`
}

// Files returns what is configured for tlsfiles, which reads the files.
func (t TLS) Files() tlsfiles.Files {
	return tlsfiles.Files{CA: t.CAFile, Certificate: t.Certificate, Key: t.CertificateKey, ServerName: t.ServerName}
}

// tls checks the settings below a path such as "redis_tls".
func (v checker) tls(path string, t TLS) {
	v.must(path+".certificate", t.CertificateKey == "" || t.Certificate != "", "is missing: certificate_key is given, and has no effect alone")
	v.must(path+".certificate_key", t.Certificate == "" || t.CertificateKey != "", "is missing: certificate is given, and has no effect alone")
}
