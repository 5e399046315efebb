// Package signature reads, checks and makes signed digests: an auditor's signature over (ciphersuite, namespace,
// timestamp, epoch, digest).
package signature

import "errors"

// SignedDigest is one signed digest. KeyID is the last byte of the public key that made it.
type SignedDigest struct {
	Ciphersuite uint32 // 1 = ed25519 over protobuf, 2 = ed25519 over bincode (legacy)
	Namespace   string
	Timestamp   uint64 // milliseconds since 1970
	Epoch       uint64
	Digest      [32]byte
	Signature   [64]byte
	KeyID       uint8
}

// Errors that say what is wrong with a signed digest; each is a rejection, none goes away by itself.
var (
	ErrMalformed      = errors.New("malformed signed digest")
	ErrUnknownKey     = errors.New("no trusted key has this key_id")
	ErrInvalid        = errors.New("signature is not valid")
	ErrDigestMismatch = errors.New("signed digest is for another digest") // digest differs from the batch's name
	ErrMismatch       = errors.New("signed digest is for another namespace or epoch")
	ErrBackwards      = errors.New("timestamp is before the previous epoch's")
)

// ErrNotFound: the source has no signed digest for the epoch (yet): retry later.
var ErrNotFound = errors.New("no signed digest")
