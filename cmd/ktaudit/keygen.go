package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/internal/secret"
)

type keygenCmd struct {
	Out    string `group:"output" default:"signing.key" placeholder:"FILE" help:"File to create for the key. By default ${default}."`
	PEM    bool   `name:"pem" group:"output" help:"Write PKCS#8 in PEM instead of 64 hexadecimal digits."`
	Public string `group:"output" type:"existingfile" placeholder:"FILE" help:"Make nothing, and print the public key of the key in this file."`
}

func (keygenCmd) Help() string {
	return `Makes an Ed25519 key: for ktaudit serve to sign with, for the verdict log, for its statements, or for a witness. Make one for each use,
and none for two. The file is readable by its owner only, and never replaces another. Whoever has it can sign in your name: keep it,
and one copy, where nobody else comes. Publish the public key. docs/keys.md says how to change keys of serve, docs/verdict-log.md those
of the verdict log.

Examples:
  ktaudit keygen
  ktaudit keygen --out /etc/ktaudit/signing-2027.pem --pem
  ktaudit keygen --out verdict-log-key
  ktaudit keygen --public signing.key`
}

// generated is what keygen prints with --json.
type generated struct {
	File      string `json:"file"`
	Format    string `json:"format,omitempty"` // seed or pkcs8; empty for a file that was there
	PublicKey string `json:"public_key"`
}

// Run makes a key, or shows the public one of another.
func (c keygenCmd) Run(a *app) error {
	if c.Public != "" {
		return c.showPublic(a)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	g := generated{File: c.Out, Format: "seed", PublicKey: hex.EncodeToString(public)}
	data := []byte(hex.EncodeToString(private.Seed()) + "\n")
	if c.PEM {
		der, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			return err
		}
		g.Format, data = "pkcs8", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	if err := createSecret(c.Out, data); err != nil {
		return err
	}
	if a.json {
		return a.object(g)
	}
	a.printf("The signing key is in %[1]s. Its public key, for those who check signatures:\n\n%[2]s\n\nIn the configuration file, if it is for ktaudit serve:\n\n"+
		"serve:\n  keys:\n    - file: %[1]s\n\nif it is for the verdict log:\n\n"+
		"verdict_log:\n  key: {file: %[1]s}\n  public_key: %[2]s\n", g.File, g.PublicKey)
	return nil
}

func (c keygenCmd) showPublic(a *app) error {
	text, err := secret.ReadKeyFile(c.Public)
	if err != nil {
		return fmt.Errorf("--public: %w", err)
	}
	key, err := auditor.ParseKey(text)
	if err != nil {
		return fmt.Errorf("--public: %s: %w", c.Public, err)
	}
	g := generated{File: c.Public, PublicKey: auditor.Key{Signer: key}.Public()}
	if a.json {
		return a.object(g)
	}
	a.printf("%s\n", g.PublicKey)
	return nil
}

// createSecret creates a file that only its owner can read. What was not written whole is removed:
// a key of which a part is lost would sign nothing, or be another one.
func createSecret(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already, and no key is ever replaced: name another file with --out", path)
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
