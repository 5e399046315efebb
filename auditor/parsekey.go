package auditor

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
)

// ParseKey reads a signing key: the 64 hexadecimal digits of an Ed25519 seed, or PKCS#8 in PEM. Its
// errors say nothing of the text.
func ParseKey(text string) (ed25519.PrivateKey, error) {
	text = strings.TrimSpace(text)
	if seed, err := hex.DecodeString(text); err == nil && len(seed) == ed25519.SeedSize {
		return ed25519.NewKeyFromSeed(seed), nil
	}
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil:
		return nil, errors.New("no signing key: want the 64 hexadecimal digits of an Ed25519 seed, or PKCS#8 in PEM")
	case block.Type != "PRIVATE KEY" || strings.TrimSpace(string(rest)) != "":
		return nil, errors.New("no signing key: want one PEM block of type PRIVATE KEY (PKCS#8), not encrypted, and nothing else")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("no signing key: the PEM block is not PKCS#8")
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("the signing key is of another kind than Ed25519")
	}
	return key, nil
}
