package auditor_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/auditor"
)

func pemOf(t testing.TB, kind string, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	key := keyOf(1)
	seed := hex.EncodeToString(key.Seed())
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := pemOf(t, "PRIVATE KEY", key)
	for name, c := range map[string]struct{ text, want string }{
		"a seed":             {seed + "\n", ""},
		"PEM":                {"\n" + good, ""},
		"nothing":            {"", "no signing key"},
		"a digit less":       {seed[1:], "no signing key"},
		"seed and public":    {hex.EncodeToString(key), "no signing key"},
		"a public key":       {pemOf(t, "PUBLIC KEY", key), "PRIVATE KEY"},
		"two keys":           {good + good, "nothing else"},
		"another kind":       {pemOf(t, "PRIVATE KEY", other), "another kind"},
		"PEM with something": {string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte(seed)})), "not PKCS#8"},
	} {
		got, err := auditor.ParseKey(c.text)
		switch {
		case c.want == "" && (err != nil || !bytes.Equal(got, key)):
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), seed[1:])):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(strings.Repeat("ab", 32))
	f.Add(pemOf(f, "PRIVATE KEY", keyOf(1)))
	f.Fuzz(func(t *testing.T, text string) {
		if key, err := auditor.ParseKey(text); (err == nil) == (key == nil) {
			t.Errorf("%v, %v", key, err)
		}
	})
}
