package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
)

const maxDepth = 16 // of an answer, which needs three

// Decode reads one JSON value into v, as answers of auditors are read. It refuses what two readers
// could understand in two ways: names that come twice or differ in case only, bytes that are not
// UTF-8, and something behind the value. Unknown fields are skipped.
func Decode(b []byte, v any) error {
	if !utf8.Valid(b) {
		return errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := walk(d, 0); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the value")
	}
	return json.Unmarshal(b, v)
}

// walk reads one value and checks the names in it.
func walk(d *json.Decoder, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("nested more than %d deep", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return err
	}
	delim, nested := token.(json.Delim)
	if !nested {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if delim == '{' {
			token, err := d.Token()
			if err != nil {
				return err
			}
			name, ok := token.(string)
			if !ok {
				return fmt.Errorf("%v where a field name should be", token)
			}
			// As encoding/json folds names: by way of upper case, K and the Kelvin sign are one.
			if name = strings.ToLower(strings.ToUpper(name)); seen[name] {
				return fmt.Errorf("field %q comes twice", name)
			}
			seen[name] = true
		}
		if err := walk(d, depth+1); err != nil {
			return err
		}
	}
	_, err = d.Token() // the closing bracket
	return err
}

func (i *Info) check() error {
	for _, k := range i.Keys {
		if _, err := signature.ParseKeys([]string{k.PublicKey}); err != nil {
			return err
		}
	}
	return nil
}

func (n *Namespaces) check() error {
	if n.Namespaces == nil {
		return errors.New("namespaces is missing")
	}
	seen := map[string]bool{}
	for i := range n.Namespaces {
		one := &n.Namespaces[i]
		if err := one.check(); err != nil {
			return err
		}
		if seen[one.Name] {
			return fmt.Errorf("namespace %.100q comes twice", one.Name)
		}
		seen[one.Name] = true
	}
	return nil
}

func (n *Namespace) check() error {
	if n.Name == "" {
		return errors.New("a namespace without a name")
	}
	if n.Status == "" {
		return fmt.Errorf("namespace %.100q has no status", n.Name)
	}
	switch {
	case n.Ciphersuite == 0:
		n.Ciphersuite = n.SignatureVersion
	case n.SignatureVersion == 0:
		n.SignatureVersion = n.Ciphersuite
	}
	if n.Ciphersuite != n.SignatureVersion {
		return fmt.Errorf("namespace %.100q: signature_version is %d, ciphersuite %d", n.Name, n.SignatureVersion, n.Ciphersuite)
	}
	if _, err := n.Anchor(); err != nil {
		return fmt.Errorf("namespace %.100q: root: %w", n.Name, err)
	}
	return nil
}

// Anchor reads Root: the first epoch that was signed, and its digest. It is zero if there is none.
func (n *Namespace) Anchor() (verdict.Anchor, error) {
	if n.Root == "" {
		return verdict.Anchor{}, nil
	}
	return verdict.ParseAnchor(n.Root)
}

func (l *LastVerified) check() error {
	if l.Epoch == 0 || l.Epoch > verdict.MaxEpoch {
		return fmt.Errorf("epoch %d is not between 1 and %d", l.Epoch, uint64(verdict.MaxEpoch))
	}
	for _, digest := range []*string{&l.StartHash, &l.EndHash} {
		if err := checkDigest(*digest); err != nil {
			return err
		}
		*digest = strings.ToLower(*digest)
	}
	return nil
}
