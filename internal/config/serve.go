package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/internal/secret"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
)

// Serve is how an auditor's API is served.
type Serve struct {
	// Listen is the address of the API, host:port. /metrics is on Config.Listen.
	Listen string `yaml:"listen"`
	// URL is the origin by which clients reach the API, for the URIs in its answers.
	URL string `yaml:"url"`
	// Keys are the keys that sign, each from its time on until the next one's. Without any, nothing
	// is signed.
	Keys []SigningKey `yaml:"keys,single"`
	// Certificate and CertificateKey are the files of the TLS certificate with its chain, and of
	// its key, in PEM; both or none.
	Certificate    string `yaml:"certificate"`
	CertificateKey string `yaml:"certificate_key"`
	// Page: the public page is served beside the API.
	Page bool `yaml:"page"`
	// Manage says who may add and change namespaces over the API. The zero value means nobody.
	Manage Manage `yaml:"manage"`
}

// ServesPage reports whether the public page is served: it is unless the file says otherwise.
func (c *Config) ServesPage() bool { return c.Serve.Page || !c.source.Given("serve") }

// SigningKey names the file or the environment variable that holds an Ed25519 key; exactly one is
// given.
type SigningKey struct {
	File string `yaml:"file"`
	Env  string `yaml:"env"`
	// NotBefore is when the key begins to sign, in RFC 3339. Empty means that it always has.
	NotBefore string `yaml:"not_before"`
}

// Begins returns when the key begins to sign; the zero time if it always has.
func (k SigningKey) Begins() (time.Time, error) {
	if k.NotBefore == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, k.NotBefore)
	if err != nil {
		return at, fmt.Errorf("%.60q is not a time such as 2026-01-31T00:00:00Z", k.NotBefore)
	}
	return at, nil
}

// NoKeyUntil returns when the first key begins to sign, if there are keys and none signs yet.
func (s Serve) NoKeyUntil(now time.Time) (first time.Time, none bool) {
	for _, k := range s.Keys {
		at, err := k.Begins()
		if err != nil || !at.After(now) {
			return time.Time{}, false
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first, len(s.Keys) > 0
}

// Text reads the key as it is in the file or the environment.
func (k SigningKey) Text() (string, error) {
	if k.File != "" {
		return secret.ReadKeyFile(k.File)
	}
	return secret.Read("key", "", k.Env)
}

// Manage names the file or the environment variable with the bearer token that whoever changes
// namespaces over the API must send. At most one is given.
type Manage struct {
	TokenFile string `yaml:"token_file"`
	TokenEnv  string `yaml:"token_env"`
}

// The modes of signing: a digest is signed once it was seen, or once its epoch was verified.
const (
	SignSeen     = "seen"
	SignVerified = "verified"
)

// Signing is how the digests of a log are signed, and who may post them.
type Signing struct {
	// Mode is SignSeen or SignVerified; empty means that nothing is signed.
	Mode string `yaml:"mode"`
	// Root is "EPOCH/DIGEST", where signing begins, for verdict.ParseAnchor. Empty means with the
	// first post.
	Root string `yaml:"root"`
	// Ciphersuite is the form of the signed digests: 1 or 2.
	Ciphersuite int `yaml:"ciphersuite"`
	// Disabled: what was signed is shown, and nothing is signed any more.
	Disabled bool `yaml:"disabled"`
	// ClientCA is the file of the CAs whose client certificates may post, in PEM, and ClientCRL
	// that of the certificates that they revoked.
	ClientCA  string `yaml:"client_ca"`
	ClientCRL string `yaml:"client_crl"`
	// TokenFile or TokenEnv names the file or the environment variable with the bearer token that
	// may post; at most one is given.
	TokenFile string `yaml:"token_file"`
	TokenEnv  string `yaml:"token_env"`
	// Host is the host name by which clients ask for this log's batches. Empty means any.
	Host string `yaml:"host"`
}

// IsOn reports whether a log's digests are signed, or were.
func (s Signing) IsOn() bool { return s.Mode != "" }

// Token reads the bearer token that may post; it is empty if there is none.
func (s Signing) Token() (string, error) { return secret.Read("token", s.TokenFile, s.TokenEnv) }

// Token reads the bearer token that may change namespaces; it is empty if there is none.
func (m Manage) Token() (string, error) { return secret.Read("token", m.TokenFile, m.TokenEnv) }

func (s *Signing) complete(given bool) {
	if !given {
		return
	}
	if s.Mode == "" {
		s.Mode = SignSeen
	}
	if s.Ciphersuite == 0 {
		s.Ciphersuite = int(signature.CiphersuiteProtobuf)
	}
}

func (v checker) serve() {
	s, on := v.Serve, v.source.Given("serve")
	if s.Listen != "" {
		v.check("serve.listen", checkAddress(s.Listen))
		v.must("serve.listen", s.Listen != v.Listen, "is the address of /metrics as well: choose another")
	}
	v.must("serve.listen", !on || s.Listen != "", "is missing: give the address of the API, such as :8443")
	if s.URL != "" {
		v.check("serve.url", checkOrigin(s.URL))
	}
	v.must("serve.certificate", s.CertificateKey == "" || s.Certificate != "", "is missing: certificate_key is given, and has no effect alone")
	v.must("serve.certificate_key", s.Certificate == "" || s.CertificateKey != "", "is missing: certificate is given, and has no effect alone")
	v.secret("serve.manage.", "token", s.Manage.TokenFile, s.Manage.TokenEnv)
	begins := map[int64]int{}
	for i, k := range s.Keys {
		path := fmt.Sprintf("serve.keys[%d]", i)
		v.must(path, k.File != "" || k.Env != "", "has no key: give the file that holds it, or its environment variable as env")
		v.must(path+".env", k.File == "" || k.Env == "", "file is given as well: choose one")
		v.check(path+".env", checkVariable(k.Env))
		at, err := k.Begins()
		v.check(path+".not_before", err)
		if v.problems.IsBlamed(path + ".not_before") {
			continue
		}
		first, twice := begins[at.Unix()]
		v.must(path+".not_before", !twice, "is that of keys[%d] as well: give each key a time of its own", first)
		begins[at.Unix()] = i
	}
}

// signing checks how a log's digests are signed. A file is checked when it is read.
func (v checker) signing(s Signing, path string) {
	if !s.IsOn() {
		return
	}
	v.must(path+"mode", s.Mode == SignSeen || s.Mode == SignVerified, "unknown mode %.60q: want %s or %s", s.Mode, SignSeen, SignVerified)
	v.must(path+"ciphersuite", s.Ciphersuite == int(signature.CiphersuiteProtobuf) || s.Ciphersuite == int(signature.CiphersuiteBincode),
		"%d is unknown: want %d or %d", s.Ciphersuite, signature.CiphersuiteProtobuf, signature.CiphersuiteBincode)
	if s.Root != "" {
		_, err := verdict.ParseAnchor(s.Root)
		v.must(path+"root", err == nil, "%.80q is not EPOCH/DIGEST, the first epoch to sign and its digest", s.Root)
	}
	v.secret(path, "token", s.TokenFile, s.TokenEnv)
	v.must(path+"client_crl", s.ClientCRL == "" || s.ClientCA != "", "has no effect without client_ca: give that as well")
	v.must(path+"client_ca", s.ClientCA == "" || v.Serve.Certificate != "" || !v.source.Given("serve"),
		"needs TLS: give serve.certificate and serve.certificate_key")
	v.must(path+"host", s.Host == "" || hostName.MatchString(s.Host), "%.60q is not a host name in lower case, without a port", s.Host)
}

var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

// checkOrigin takes a scheme and a host, and nothing else: clients keep no more of it.
func checkOrigin(text string) error {
	u, err := url.Parse(text)
	if err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && text == u.Scheme+"://"+u.Host {
		return nil
	}
	return errors.New("is not an origin such as https://auditor.example.org, without a path")
}

// warnOfSigning warns of signing that is valid and cannot work.
func (c *Config) warnOfSigning(warn func(path, format string, args ...any)) {
	hosts := map[string]string{}
	for i, n := range c.Namespaces {
		s, path := n.Signing, fmt.Sprintf("namespaces[%d].signing", i)
		if !s.IsOn() {
			continue
		}
		if c.source.Given("serve") && len(c.Serve.Keys) == 0 {
			warn(path, "there is no key to sign with: give serve.keys")
		}
		mayPost := s.ClientCA != "" || s.TokenFile != "" || s.TokenEnv != ""
		switch {
		case s.Disabled || mayPost:
		case s.Mode == SignSeen:
			warn(path, "nobody may post, so nothing is signed: give client_ca, token_file or token_env")
		case s.Root == "":
			warn(path, "nobody may post, and nothing says where signing begins: give root")
		}
		if c.source.Given("serve") && !n.Archive && !strings.HasPrefix(n.LogDirectory, "s3list+https://") {
			warn(path, "clients of the API find no batches to verify what is signed with: its log_directory is not public, so set archive: true")
		}
		if root, err := verdict.ParseAnchor(s.Root); err == nil && s.Mode == SignVerified && root.Epoch < n.First {
			warn(path+".root", "no epoch before first, which is %d, is verified, so nothing is signed: let signing begin at an epoch that is audited", n.First)
		}
		other, twice := hosts[s.Host]
		if twice && s.Host != "" {
			warn(path+".host", "%s is also the host of %s: give each log a host name of its own", s.Host, other)
		}
		hosts[s.Host] = n.Namespace
	}
	if first, none := c.Serve.NoKeyUntil(time.Now()); none {
		warn("serve.keys", "no key signs before %s, so no post is answered until then: leave in the key that signed before, or give one an earlier not_before",
			first.UTC().Format(time.RFC3339))
	}
	host, _, err := net.SplitHostPort(c.Serve.Listen)
	if err == nil && c.Serve.Certificate == "" && !client.IsLoopback(host) && c.takesTokens() {
		warn("serve.listen", "without TLS, an attacker on the network can read tokens and post in the log's name: "+
			"give certificate and certificate_key, or listen on 127.0.0.1 behind a proxy that has TLS")
	}
}

// takesTokens reports whether somebody may write over the API with a token.
func (c *Config) takesTokens() bool {
	return c.Serve.Manage != (Manage{}) || slices.ContainsFunc(c.Namespaces, func(n Namespace) bool {
		return n.Signing.TokenFile != "" || n.Signing.TokenEnv != ""
	})
}
