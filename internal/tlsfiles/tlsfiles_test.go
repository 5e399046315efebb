package tlsfiles_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/tlsfiles"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type pair struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

// issue makes a certificate that is good for some time from now; without by it is a CA of its own.
func issue(t *testing.T, by *pair, name string, good time.Duration) *pair {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(good),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if by == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		by = &pair{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.Certificate, &key.PublicKey, by.key)
	must(t, err)
	made, err := x509.ParseCertificate(der)
	must(t, err)
	return &pair{made, key}
}

func (p *pair) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Raw}))
}

func (p *pair) keyPEM(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// write replaces a file as cert-manager and Kubernetes do, by a rename, so that it is another file
// even if it has the same size and time.
func write(t *testing.T, path, text string) string {
	t.Helper()
	must(t, errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)))
	return path
}

// handshake connects a client to a server named "server", and returns who the client showed itself
// to be.
func handshake(t *testing.T, client *tls.Config, server *pair) (string, error) {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{server.Raw}, PrivateKey: server.key}},
		ClientAuth:   tls.RequestClientCert,
	})
	must(t, err)
	defer listener.Close()
	shown := make(chan string, 1)
	go func() {
		defer close(shown)
		accepted, err := listener.Accept()
		if err != nil {
			return
		}
		defer accepted.Close()
		if c := accepted.(*tls.Conn); c.Handshake() == nil {
			name := "nobody"
			for _, one := range c.ConnectionState().PeerCertificates {
				name = one.Subject.CommonName
			}
			shown <- name
		}
	}()
	plain, err := net.Dial("tcp", listener.Addr().String())
	must(t, err)
	defer plain.Close()
	c := tls.Client(plain, client)
	if err := c.Handshake(); err != nil {
		return "", err
	}
	return <-shown, nil
}

// A server is believed if one of the CAs vouches for its name, and sees the client's certificate,
// the new one once its files have changed.
func TestConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, other := issue(t, nil, "ca", time.Hour), issue(t, nil, "other", time.Hour)
	server := issue(t, ca, "server", time.Hour)
	first, second := issue(t, ca, "first", -time.Minute), issue(t, ca, "second", time.Hour)
	files := tlsfiles.Files{
		CA:          write(t, filepath.Join(dir, "ca"), "# ours\n"+other.pem()+ca.pem()+"\n"),
		Certificate: write(t, filepath.Join(dir, "certificate"), first.pem()),
		Key:         write(t, filepath.Join(dir, "key"), first.keyPEM(t)),
		ServerName:  "server",
	}
	c, err := files.Config()
	must(t, err)
	shows := func(want, failure string) {
		t.Helper()
		// The files are looked at once a second.
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			got, err := handshake(t, c, server)
			if got == want && (failure == "") == (err == nil) && (err == nil || strings.Contains(err.Error(), failure)) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("shows %q, %v, want %q, %q", got, err, want, failure)
			}
		}
	}
	shows("first", "")
	write(t, files.Certificate, second.pem()) // half of a pair, while the first is no longer good
	shows("", "private key does not match public key")
	write(t, files.Key, second.keyPEM(t))
	shows("second", "")
	must(t, os.Remove(files.Certificate))
	if got, err := handshake(t, c, server); got != "second" || err != nil {
		t.Errorf("shows %q, %v, want the last good one", got, err)
	}

	for name, test := range map[string]struct {
		files tlsfiles.Files
		want  string
	}{
		"only the CA":      {tlsfiles.Files{CA: files.CA, ServerName: "server"}, ""},
		"another name":     {tlsfiles.Files{CA: files.CA, ServerName: "elsewhere"}, "not elsewhere"},
		"another CA":       {tlsfiles.Files{CA: write(t, filepath.Join(dir, "other"), other.pem()), ServerName: "server"}, "unknown authority"},
		"the system's CAs": {tlsfiles.Files{ServerName: "server"}, "unknown authority"},
		"no name to go by": {tlsfiles.Files{CA: files.CA}, "ServerName"},
		"TLS 1.1":          {tlsfiles.Files{CA: files.CA, ServerName: "server"}, "no supported versions"},
	} {
		c, err := test.files.Config()
		must(t, err)
		if name == "TLS 1.1" {
			c.MaxVersion = tls.VersionTLS11
		}
		got, err := handshake(t, c, server)
		if test.want == "" && (got != "nobody" || err != nil) || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %q, %v, want %q", name, got, err, test.want)
		}
	}
}

// What cannot be what an operator means is refused at once.
func TestRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := issue(t, nil, "ca", time.Hour)
	good, other := issue(t, ca, "good", time.Hour), issue(t, ca, "other", time.Hour)
	file := func(name, text string) string { return write(t, filepath.Join(dir, name), text) }
	none := filepath.Join(dir, "none")
	certificate, key := file("certificate", good.pem()), file("key", good.keyPEM(t))
	for name, test := range map[string]struct {
		files tlsfiles.Files
		want  string
	}{
		"no CA file":              {tlsfiles.Files{CA: none}, "no such file"},
		"an empty CA file":        {tlsfiles.Files{CA: file("empty", "")}, "no whole CA certificate"},
		"text for CAs":            {tlsfiles.Files{CA: file("text", "a CA")}, "no whole CA certificate"},
		"half of a certificate":   {tlsfiles.Files{CA: file("half", ca.pem()+ca.pem()[:100])}, "after the first 1"},
		"a damaged certificate":   {tlsfiles.Files{CA: file("damaged", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}})))}, "certificate 1 of"},
		"a key among the CAs":     {tlsfiles.Files{CA: file("with-key", ca.pem()+ca.keyPEM(t))}, "PRIVATE KEY"},
		"a certificate alone":     {tlsfiles.Files{Certificate: certificate}, "give both"},
		"a key alone":             {tlsfiles.Files{Key: key}, "give both"},
		"no certificate file":     {tlsfiles.Files{Certificate: none, Key: key}, "no such file"},
		"the key of another":      {tlsfiles.Files{Certificate: certificate, Key: file("other", other.keyPEM(t))}, "does not match"},
		"certificate for the key": {tlsfiles.Files{Certificate: key, Key: key}, "client certificate " + key},
	} {
		if _, err := test.files.Config(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		} else if strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%s: %v repeats the file", name, err)
		}
	}
}
