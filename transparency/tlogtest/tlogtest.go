// Package tlogtest has small transparency logs in memory, for tests of those who read, witness and
// prove logs. They also do what no honest log does: go back, and fork.
package tlogtest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Log is a log in memory. It is not for several goroutines at once, except to read.
type Log struct {
	Origin string
	Key    ed25519.PrivateKey
	hashes []tlog.Hash
	size   int64
}

// New returns an empty log with a key that follows from its origin.
func New(origin string) *Log { return &Log{Origin: origin, Key: Key(origin)} }

// Key returns the key that follows from a name.
func Key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// Append appends entries.
func (l *Log) Append(entries ...[]byte) *Log {
	for _, entry := range entries {
		hashes, err := tlog.StoredHashes(l.size, entry, l)
		must(err)
		l.hashes = append(l.hashes, hashes...)
		l.size++
	}
	return l
}

// Grow appends entries up to a size, which say their number after a prefix.
func (l *Log) Grow(size int64, prefix string) *Log {
	for l.size < size {
		l.Append(fmt.Appendf(nil, "%s%d\n", prefix, l.size))
	}
	return l
}

// Size is how many entries there are.
func (l *Log) Size() int64 { return l.size }

// ReadHashes implements tlog.HashReader.
func (l *Log) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	all := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(l.hashes)) {
			return nil, fmt.Errorf("no hash %d", index)
		}
		all[i] = l.hashes[index]
	}
	return all, nil
}

// Tree returns the tree of the first entries.
func (l *Log) Tree(size int64) tlog.Tree {
	hash, err := tlog.TreeHash(size, l)
	must(err)
	return tlog.Tree{N: size, Hash: hash}
}

// Verifier is the C2SP verifier key of the log.
func (l *Log) Verifier() string {
	vkey, err := note.NewEd25519VerifierKey(l.Origin, l.Key.Public().(ed25519.PublicKey))
	must(err)
	return vkey
}

// Checkpoint returns the signed checkpoint of the first entries.
func (l *Log) Checkpoint(size int64) []byte { return l.Sign(l.Body(size)) }

// Body returns the text of the checkpoint of the first entries.
func (l *Log) Body(size int64) string {
	return torchwood.Checkpoint{Origin: l.Origin, Tree: l.Tree(size)}.String()
}

// Sign signs any text as the log.
func (l *Log) Sign(text string) []byte {
	signed, err := note.Sign(&note.Note{Text: text}, signer{l})
	must(err)
	return signed
}

// Inclusion proves an entry in the tree of the first entries.
func (l *Log) Inclusion(size, index int64) tlog.RecordProof {
	proof, err := tlog.ProveRecord(size, index, l)
	must(err)
	return proof
}

// Consistency proves that a tree extends an older one.
func (l *Log) Consistency(size, old int64) tlog.TreeProof {
	if old == 0 {
		return nil
	}
	proof, err := tlog.ProveTree(size, old, l)
	must(err)
	return proof
}

// Cosign has a witness, whose key follows from its name, cosign a signed checkpoint.
func Cosign(checkpoint []byte, names ...string) []byte {
	for _, name := range names {
		text, _, _ := strings.Cut(string(checkpoint), "\n\n")
		signed, err := note.Sign(&note.Note{Text: text + "\n"}, cosigner(name))
		must(err)
		_, line, _ := strings.Cut(string(signed), "\n\n")
		checkpoint = append(checkpoint[:len(checkpoint):len(checkpoint)], line...)
	}
	return checkpoint
}

// Witness is the C2SP verifier key of a witness whose key follows from its name.
func Witness(name string) string { return cosigner(name).Verifier().String() }

func cosigner(name string) *torchwood.CosignatureSigner {
	s, err := torchwood.NewCosignatureSigner(name, Key(name))
	must(err)
	return s
}

type signer struct{ *Log }

func (s signer) Name() string                     { return s.Origin }
func (s signer) Sign(text []byte) ([]byte, error) { return ed25519.Sign(s.Key, text), nil }
func (s signer) KeyHash() uint32 {
	v, err := note.NewVerifier(s.Verifier())
	must(err)
	return v.KeyHash()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
