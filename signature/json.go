package signature

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf8"
)

// jsonForm is the form in which plexi writes signed digests. Version and ciphersuite are the same
// number.
type jsonForm struct {
	Version           uint32 `json:"version"`
	Ciphersuite       uint32 `json:"ciphersuite"`
	Namespace         string `json:"namespace"`
	Timestamp         uint64 `json:"timestamp"`
	Epoch             uint64 `json:"epoch"`
	Digest            string `json:"digest"`
	Signature         string `json:"signature"`
	KeyID             uint8  `json:"key_id"`
	SerializedMessage string `json:"serialized_message"`
}

// MarshalJSON writes the form that Parse reads, with serialized_message.
func (s SignedDigest) MarshalJSON() ([]byte, error) {
	message, err := s.Message()
	if err != nil {
		return nil, err
	}
	return json.Marshal(jsonForm{
		Version:           s.Ciphersuite,
		Ciphersuite:       s.Ciphersuite,
		Namespace:         s.Namespace,
		Timestamp:         s.Timestamp,
		Epoch:             s.Epoch,
		Digest:            hex.EncodeToString(s.Digest[:]),
		Signature:         hex.EncodeToString(s.Signature[:]),
		KeyID:             s.KeyID,
		SerializedMessage: hex.EncodeToString(message),
	})
}

// UnmarshalJSON is Parse.
func (s *SignedDigest) UnmarshalJSON(b []byte) error {
	parsed, err := Parse(b)
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}

// Parse reads the JSON form of a signed digest, of at most MaxSize bytes. Every error is
// ErrMalformed, wrapped.
//
// It is strict where two readers could understand one object differently: field names are compared
// exactly, no field may occur twice, numbers are integers in range, null is no value, nothing may
// follow the object. It is lenient where they could not: unknown fields are skipped, hexadecimal
// digits may be of either case, one of version and ciphersuite is enough (both must agree), and
// serialized_message may be absent or null. If it is present it must be the bytes that Message
// returns: a signed digest that shows one message and signs another could mislead people.
func Parse(b []byte) (SignedDigest, error) {
	var s SignedDigest
	fields, err := objectFields(b)
	if err != nil {
		return s, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := s.fill(fields); err != nil {
		return SignedDigest{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	message, err := s.Message()
	if err != nil {
		return SignedDigest{}, err
	}
	if raw, ok := fields["serialized_message"]; ok && string(raw) != "null" {
		shown := make([]byte, len(message))
		if err := hexField(fields, "serialized_message", shown); err != nil {
			return SignedDigest{}, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if !bytes.Equal(shown, message) {
			return SignedDigest{}, fmt.Errorf("%w: epoch %d: serialized_message is not what the fields say", ErrMalformed, s.Epoch)
		}
	}
	return s, nil
}

func (s *SignedDigest) fill(fields map[string]json.RawMessage) error {
	var err error
	if s.Ciphersuite, err = suiteField(fields); err != nil {
		return err
	}
	if err := valueField(fields, "namespace", &s.Namespace); err != nil {
		return err
	}
	if err := valueField(fields, "timestamp", &s.Timestamp); err != nil {
		return err
	}
	if err := valueField(fields, "epoch", &s.Epoch); err != nil {
		return err
	}
	if err := valueField(fields, "key_id", &s.KeyID); err != nil {
		return err
	}
	if err := hexField(fields, "digest", s.Digest[:]); err != nil {
		return err
	}
	return hexField(fields, "signature", s.Signature[:])
}

// suiteField reads version and ciphersuite, two names of one number. Older writers write only
// version.
func suiteField(fields map[string]json.RawMessage) (uint32, error) {
	var version, ciphersuite uint32
	if _, ok := fields["ciphersuite"]; !ok {
		return version, valueField(fields, "version", &version)
	}
	if err := valueField(fields, "ciphersuite", &ciphersuite); err != nil {
		return 0, err
	}
	if _, ok := fields["version"]; !ok {
		return ciphersuite, nil
	}
	if err := valueField(fields, "version", &version); err != nil {
		return 0, err
	}
	if version != ciphersuite {
		return 0, fmt.Errorf("version is %d, ciphersuite is %d", version, ciphersuite)
	}
	return ciphersuite, nil
}

// valueField reads a string or an integer. encoding/json accepts null and changes nothing, hence
// the check.
func valueField(fields map[string]json.RawMessage, name string, to any) error {
	raw, ok := fields[name]
	if !ok {
		return fmt.Errorf("%s is missing", name)
	}
	if string(raw) == "null" {
		return fmt.Errorf("%s is null", name)
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// hexField reads exactly len(to) bytes in hexadecimal.
func hexField(fields map[string]json.RawMessage, name string, to []byte) error {
	var text string
	if err := valueField(fields, name, &text); err != nil {
		return err
	}
	if len(text) != 2*len(to) {
		return fmt.Errorf("%s has %d characters, want %d hexadecimal digits", name, len(text), 2*len(to))
	}
	if _, err := hex.Decode(to, []byte(text)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// objectFields splits one JSON object into its fields. encoding/json alone would let a later field
// of the same name win, match names in any case and replace bytes that are not UTF-8.
func objectFields(b []byte) (map[string]json.RawMessage, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", len(b), MaxSize)
	}
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(b))
	if token, err := decoder.Token(); err != nil {
		return nil, err
	} else if token != json.Delim('{') {
		return nil, fmt.Errorf("not a JSON object")
	}
	fields := make(map[string]json.RawMessage)
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		name, ok := token.(string)
		if !ok {
			return nil, fmt.Errorf("%v where a field name should be", token)
		}
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("field %q comes twice", name)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, err
		}
		fields[name] = value
	}
	if _, err := decoder.Token(); err != nil { // the closing brace
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, fmt.Errorf("something follows the object")
	}
	return fields, nil
}
