// Command tlog-check checks a proof that ktaudit prove wrote by code that has nothing in common
// with ktaudit's: the parser and the cosignatures of github.com/transparency-dev/formats, the Merkle
// tree of github.com/transparency-dev/merkle, and the standard library.
//
//	tlog-check PROOF AUDITOR-KEY [WITNESS-KEY...]
//
// All witnesses must have cosigned. It prints the entry, and exits with 1 if anything is wrong.
package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/note"
	tlogproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: tlog-check PROOF AUDITOR-KEY [WITNESS-KEY...]")
		os.Exit(2)
	}
	file, err := os.ReadFile(os.Args[1])
	if err == nil {
		var entry []byte
		if entry, err = check(file, os.Args[2], os.Args[3:]); err == nil {
			fmt.Printf("%s", entry)
			return
		}
	}
	fmt.Fprintln(os.Stderr, "tlog-check:", err)
	os.Exit(1)
}

// check returns the entry that a file proves.
func check(file []byte, auditor string, witnesses []string) ([]byte, error) {
	var p tlogproof.TLogProof
	if err := p.Unmarshal(file); err != nil {
		return nil, err
	}
	if !bytes.Equal(p.Marshal(), file) { // base64 has bits that its reader passes over
		return nil, errors.New("not written as such files are")
	}
	text, signatures, err := split(p.Checkpoint)
	if err != nil {
		return nil, err
	}
	name, hash, public, err := parseKey(auditor)
	if err != nil {
		return nil, err
	}
	if !signedBy(signatures, name, hash, func(signature []byte) bool { return ed25519.Verify(public, text, signature) }) {
		return nil, fmt.Errorf("not signed by %s", name)
	}
	for _, key := range witnesses {
		v, err := note.NewVerifierForCosignatureV1(key)
		if err != nil {
			return nil, err
		}
		if !signedBy(signatures, v.Name(), v.KeyHash(), func(signature []byte) bool { return v.Verify(text, signature) }) {
			return nil, fmt.Errorf("not cosigned by %s", v.Name())
		}
	}
	var checkpoint log.Checkpoint
	rest, err := checkpoint.Unmarshal(text)
	if err != nil {
		return nil, err
	}
	if checkpoint.Origin != name || len(rest) != 0 {
		return nil, fmt.Errorf("a checkpoint of %q, want one of %q", checkpoint.Origin, name)
	}
	hashes := make([][]byte, len(p.Hashes))
	for i := range p.Hashes {
		hashes[i] = p.Hashes[i][:]
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(p.ExtraData)
	return p.ExtraData, proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, checkpoint.Size, leaf, hashes, checkpoint.Hash)
}

// signature is a line of a signed note.
type signature struct {
	name  string
	hash  uint32
	bytes []byte
}

// split takes a signed note apart: https://c2sp.org/signed-note.
func split(data []byte) (text []byte, all []signature, err error) {
	at := bytes.LastIndex(data, []byte("\n\n"))
	if at < 0 || !bytes.HasSuffix(data, []byte("\n")) {
		return nil, nil, errors.New("the checkpoint is no signed note")
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(data[at+2:]), "\n"), "\n") {
		fields := strings.Split(line, " ")
		if len(fields) != 3 || fields[0] != "\u2014" {
			return nil, nil, fmt.Errorf("%q is no signature", line)
		}
		raw, err := base64.StdEncoding.Strict().DecodeString(fields[2])
		if err != nil || len(raw) < 5 {
			return nil, nil, fmt.Errorf("%q is no signature", line)
		}
		all = append(all, signature{fields[1], binary.BigEndian.Uint32(raw), raw[4:]})
	}
	return data[:at+1], all, nil
}

// parseKey reads NAME+HASH+BASE64 of an Ed25519 key, algorithm 1.
func parseKey(text string) (name string, hash uint32, public ed25519.PublicKey, err error) {
	parts := strings.SplitN(text, "+", 3)
	if len(parts) != 3 {
		return "", 0, nil, fmt.Errorf("%q is no key", text)
	}
	id, errHash := hex.DecodeString(parts[1])
	key, errKey := base64.StdEncoding.DecodeString(parts[2])
	if err := errors.Join(errHash, errKey); err != nil || len(id) != 4 || len(key) != 1+ed25519.PublicKeySize || key[0] != 1 {
		return "", 0, nil, fmt.Errorf("%q is no Ed25519 key", text)
	}
	return parts[0], binary.BigEndian.Uint32(id), key[1:], nil
}

// signedBy reports whether there is a signature of a key, and it is right.
func signedBy(all []signature, name string, hash uint32, verify func([]byte) bool) bool {
	for _, s := range all {
		if s.name == name && s.hash == hash {
			return verify(s.bytes)
		}
	}
	return false
}
