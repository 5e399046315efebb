package signature

import (
	"crypto"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// The two ciphersuites, both ed25519. They differ in the bytes that are signed.
const (
	CiphersuiteProtobuf uint32 = 1
	CiphersuiteBincode  uint32 = 2 // legacy
)

// MaxSize is how many bytes the JSON form of a signed digest may have.
const MaxSize = 64 << 10

// SignedDigest is one signed digest.
type SignedDigest struct {
	Ciphersuite uint32 // CiphersuiteProtobuf or CiphersuiteBincode
	Namespace   string
	Timestamp   uint64 // milliseconds since 1970
	Epoch       uint64
	Digest      [32]byte
	Signature   [64]byte
	KeyID       uint8 // last byte of the public key
}

// Errors that say what is wrong with a signed digest. Each is grounds for a rejection; trying again
// does not help.
var (
	ErrMalformed      = errors.New("malformed signed digest")
	ErrInvalid        = errors.New("signature is not valid")
	ErrDigestMismatch = errors.New("signed digest is for another digest")
	ErrMismatch       = errors.New("signed digest is for another namespace or epoch")
	ErrBackwards      = errors.New("timestamp is before the previous epoch's")
)

// ErrUnknownKey: no key that is trusted for the epoch has the key_id of its signed digest. That is
// nothing against the log, which may have a new key: retry once that is trusted.
var ErrUnknownKey = errors.New("no trusted key for the signed digest")

// ErrNotFound: the source has no signed digest for the epoch, or not yet: retry later.
var ErrNotFound = errors.New("no signed digest")

// Message returns the bytes that are signed, rebuilt from the fields. The only error is
// ErrMalformed, wrapped: the ciphersuite is unknown, or the namespace is empty or not UTF-8.
func (s SignedDigest) Message() ([]byte, error) {
	if s.Namespace == "" || !utf8.ValidString(s.Namespace) {
		return nil, fmt.Errorf("%w: epoch %d: namespace %q is empty or not UTF-8", ErrMalformed, s.Epoch, s.Namespace)
	}
	switch s.Ciphersuite {
	case CiphersuiteProtobuf:
		return s.protobuf(), nil
	case CiphersuiteBincode:
		return s.bincode(), nil
	}
	return nil, fmt.Errorf("%w: epoch %d: unknown ciphersuite %d", ErrMalformed, s.Epoch, s.Ciphersuite)
}

// protobuf writes every field, zero or not: the reference's fields are proto2 `required`, whose
// default is not left out.
func (s SignedDigest) protobuf() []byte {
	epoch := protowire.AppendTag(nil, 1, protowire.VarintType)
	epoch = protowire.AppendVarint(epoch, s.Epoch)

	b := protowire.AppendTag(nil, 1, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(s.Ciphersuite))
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendString(b, s.Namespace)
	b = protowire.AppendTag(b, 3, protowire.VarintType)
	b = protowire.AppendVarint(b, s.Timestamp)
	b = protowire.AppendTag(b, 4, protowire.BytesType)
	b = protowire.AppendBytes(b, epoch)
	b = protowire.AppendTag(b, 5, protowire.BytesType)
	return protowire.AppendBytes(b, s.Digest[:])
}

// bincode is the fixed-width little-endian form of Rust's bincode 1, with 64-bit lengths.
func (s SignedDigest) bincode() []byte {
	b := binary.LittleEndian.AppendUint32(nil, s.Ciphersuite)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s.Namespace)))
	b = append(b, s.Namespace...)
	b = binary.LittleEndian.AppendUint64(b, s.Timestamp)
	b = binary.LittleEndian.AppendUint64(b, s.Epoch)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s.Digest)))
	return append(b, s.Digest[:]...)
}

// Sign makes the signed digest of an epoch; timestamp is in milliseconds since 1970. The key is an
// ed25519.PrivateKey, or one that is kept elsewhere, of Ed25519 too.
func Sign(key crypto.Signer, ciphersuite uint32, namespace string, timestamp, epoch uint64, digest [32]byte) (SignedDigest, error) {
	if private, ok := key.(ed25519.PrivateKey); ok && len(private) != ed25519.PrivateKeySize {
		return SignedDigest{}, fmt.Errorf("signing key has %d bytes, want %d", len(private), ed25519.PrivateKeySize)
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok || len(public) != ed25519.PublicKeySize {
		return SignedDigest{}, fmt.Errorf("signing key is of type %T, want Ed25519", key.Public())
	}
	s := SignedDigest{
		Ciphersuite: ciphersuite,
		Namespace:   namespace,
		Timestamp:   timestamp,
		Epoch:       epoch,
		Digest:      digest,
		KeyID:       public[ed25519.PublicKeySize-1],
	}
	message, err := s.Message()
	if err != nil {
		return SignedDigest{}, err
	}
	made, err := key.Sign(nil, message, crypto.Hash(0))
	if err == nil && len(made) != len(s.Signature) {
		err = fmt.Errorf("the signer returned %d bytes", len(made))
	}
	if err != nil {
		return SignedDigest{}, fmt.Errorf("signing epoch %d: %w", epoch, err)
	}
	copy(s.Signature[:], made)
	return s, nil
}

// Check checks that s is about the given epoch. It returns ErrMismatch for another namespace or
// epoch and ErrDigestMismatch for another digest, wrapped. It does not verify the signature.
func Check(s SignedDigest, namespace string, epoch uint64, digest [32]byte) error {
	switch {
	case s.Namespace != namespace:
		return fmt.Errorf("%w: epoch %d: namespace is %q, want %q", ErrMismatch, epoch, s.Namespace, namespace)
	case s.Epoch != epoch:
		return fmt.Errorf("%w: epoch is %d, want %d", ErrMismatch, s.Epoch, epoch)
	case s.Digest != digest:
		return fmt.Errorf("%w: epoch %d: signed %x, published %x", ErrDigestMismatch, epoch, s.Digest, digest)
	}
	return nil
}

// CheckOrder returns ErrBackwards, wrapped, if the timestamp of current is before that of previous.
// Equal timestamps are in order: a signer that catches up may sign many epochs within one
// millisecond.
func CheckOrder(previous, current SignedDigest) error {
	if current.Timestamp < previous.Timestamp {
		return fmt.Errorf("%w: epoch %d has %d, epoch %d has %d",
			ErrBackwards, previous.Epoch, previous.Timestamp, current.Epoch, current.Timestamp)
	}
	return nil
}
