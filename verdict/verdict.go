package verdict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Schema is the version of the Verdict layout that this program writes.
const Schema = 1

// Outcome of a Verdict.
const (
	Verified = "verified"
	Rejected = "rejected"
)

// MaxDetailBytes is the longest Detail of a valid Verdict. Details quote what a log published;
// whoever fills one in cuts it.
const MaxDetailBytes = 8 << 10

// MaxBytes caps a verdict object. Within the limits of Validate a verdict stays well below it. It
// is the longest entry that a C2SP tile of entries can hold.
const MaxBytes = 1<<16 - 1

// Verdict is what ktaudit concluded about one epoch. It is written once and never changed.
type Verdict struct {
	Schema         int       `json:"schema"`
	Namespace      string    `json:"namespace"`
	Epoch          uint64    `json:"epoch"`
	PreviousDigest string    `json:"previous_digest"`
	Digest         string    `json:"digest"`
	Outcome        string    `json:"outcome"`
	Reason         Reason    `json:"reason,omitempty"`
	Detail         string    `json:"detail,omitempty"`
	Inserted       int       `json:"inserted"`
	Unchanged      int       `json:"unchanged"`
	Batch          Batch     `json:"batch"`
	Signature      Signature `json:"signature"`
	StartedAt      time.Time `json:"started_at"`
	FinishedAt     time.Time `json:"finished_at"`
	VerifySeconds  float64   `json:"verify_seconds"`
	Software       string    `json:"software"`
	Strays         *Strays   `json:"strays,omitempty"` // nil: none
	// Indexed: the digest was entered in the index of digests before the verdict was written. A
	// verified verdict without it is of a version that had no index.
	Indexed bool `json:"indexed,omitempty"`
	// Incident is the name of the incident that the rejection of an epoch with several batches was
	// raised as, if it is not named for the epoch alone.
	Incident string `json:"incident,omitempty"`
}

// MaxStrays is how many names Strays has at most, MaxStrayBytes how long each is at most.
const (
	MaxStrays     = 10
	MaxStrayBytes = 200
)

// Strays are the objects that lay under the epoch beside its batch and claim no other digests than
// it does, such as a checksum. They say nothing against the log, but nothing honest needs them.
type Strays struct {
	// Names are the first keys, with what is not printable escaped.
	Names []string `json:"names"`
	// More is how many further ones were seen.
	More int `json:"more,omitempty"`
}

// Batch describes the object that was judged.
type Batch struct {
	Key         string `json:"key"`
	Bytes       int64  `json:"bytes"`        // after decompression
	StoredBytes int64  `json:"stored_bytes"` // as published
	Compression string `json:"compression"`  // none, zstd, gzip or s2
	SHA256      string `json:"sha256"`       // of the stored bytes, hexadecimal
	// ModifiedAt and ETag are what the log directory said of the object when it was listed; empty
	// where it, or an earlier version of ktaudit, did not say.
	ModifiedAt time.Time `json:"modified_at,omitzero"`
	ETag       string    `json:"etag,omitempty"`
}

// MaxETagBytes is the longest ETag of a valid Verdict.
const MaxETagBytes = 256

// IsListedAs reports whether a later listing shows the object as it was when it was judged, as far
// as both say. One that was written anew may have the same bytes all the same.
func (b Batch) IsListedAs(later Batch) bool {
	switch {
	case b.Key != later.Key || b.StoredBytes != later.StoredBytes:
		return false
	case b.ETag != "" && later.ETag != "":
		return b.ETag == later.ETag
	case !b.ModifiedAt.IsZero() && !later.ModifiedAt.IsZero():
		return b.ModifiedAt.Equal(later.ModifiedAt)
	}
	return true
}

// Signature says what was known of the epoch's signed digest.
type Signature struct {
	// Status is verified; invalid, if the epoch's own was wrong; or not_required, if no key is
	// trusted or the epoch was rejected before its signed digest was looked at. An epoch that lacks
	// one gets no verdict.
	Status    string `json:"status"`
	KeyID     *uint8 `json:"key_id,omitempty"`
	Timestamp uint64 `json:"timestamp,omitempty"` // milliseconds since 1970
}

// ErrNewerSchema says that a verdict was recorded by a later version of ktaudit; this version
// cannot read it.
var ErrNewerSchema = errors.New("verdict of a later schema")

var (
	reason = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	// incident is the name of the incident of an epoch with several batches.
	incident = regexp.MustCompile(`^equivocation/[0-9]{12}-[0-9a-f]{32}$`)
)

// Validate returns why v may not be recorded, or nil. A verified verdict names both digests and no
// reason; a rejected one names its reason, and may lack the digests and the batch, because an epoch
// can be rejected for not having one well-formed name.
func (v Verdict) Validate() error {
	if v.Schema != Schema {
		return fmt.Errorf("schema %d: this program knows schema %d", v.Schema, Schema)
	}
	if err := CheckKey(v.Namespace, v.Epoch); err != nil {
		return err
	}
	switch {
	case v.Outcome != Verified && v.Outcome != Rejected:
		return fmt.Errorf("outcome %q is neither %q nor %q", v.Outcome, Verified, Rejected)
	case v.Outcome == Verified && v.Reason != "":
		return fmt.Errorf("a verified verdict with the reason %q", v.Reason)
	case v.Outcome == Rejected && !reason.MatchString(string(v.Reason)):
		return fmt.Errorf("a rejected verdict with the reason %q: want lower-case letters, digits and underscores", v.Reason)
	case len(v.Detail) > MaxDetailBytes:
		return fmt.Errorf("detail of %d bytes, the limit is %d", len(v.Detail), MaxDetailBytes)
	case v.Inserted < 0 || v.Unchanged < 0 || v.Batch.Bytes < 0 || v.Batch.StoredBytes < 0:
		return errors.New("a negative count")
	case v.Incident != "" && (v.Reason != Equivocation || !incident.MatchString(v.Incident) || v.Incident[13:25] != fmt.Sprintf("%012d", v.Epoch)):
		return fmt.Errorf("incident %.120q: it is none that the verdict can be raised as", v.Incident)
	case len(v.Batch.ETag) > MaxETagBytes:
		return fmt.Errorf("an ETag of %d bytes, the limit is %d", len(v.Batch.ETag), MaxETagBytes)
	}
	if err := v.Strays.validate(); err != nil {
		return err
	}
	for _, d := range []struct{ field, value string }{
		{"previous_digest", v.PreviousDigest},
		{"digest", v.Digest},
		{"batch.sha256", v.Batch.SHA256},
	} {
		if d.value == "" && v.Outcome == Rejected {
			continue
		}
		if !isHex(d.value, 64) {
			return fmt.Errorf("%s %q is not 64 lower-case hexadecimal digits", d.field, d.value)
		}
	}
	return nil
}

func (s *Strays) validate() error {
	switch {
	case s == nil:
		return nil
	case len(s.Names) == 0 || len(s.Names) > MaxStrays:
		return fmt.Errorf("strays: %d names, want 1 to %d", len(s.Names), MaxStrays)
	case s.More < 0:
		return errors.New("strays: a negative count")
	}
	for _, name := range s.Names {
		if len(name) > MaxStrayBytes {
			return fmt.Errorf("strays: a name of %d bytes, the limit is %d", len(name), MaxStrayBytes)
		}
	}
	return nil
}

// Contradicts reports whether v and o, two verdicts on the same epoch, cannot both be right: they
// differ in the outcome or in a digest. Two rejections for different reasons do not contradict each
// other, nor do timing and software count; nor does BatchTooLarge say anything about the batch,
// since it is a limit of the auditor's that another run may not have.
func (v Verdict) Contradicts(o Verdict) bool {
	unlimited := v.Reason != BatchTooLarge && o.Reason != BatchTooLarge
	return unlimited && v.Outcome != o.Outcome || v.Digest != o.Digest || v.PreviousDigest != o.PreviousDigest
}

// ShowsOther reports whether v is on a batch that was judged and proves another step than o is
// about. No fault makes such a batch, and a log need show it only once: it stands, whatever a
// second look shows.
func (v Verdict) ShowsOther(o Verdict) bool {
	proven := v.Outcome == Verified || v.Reason == Equivocation
	return proven && v.Batch.SHA256 != "" && (v.Digest != o.Digest || v.PreviousDigest != o.PreviousDigest)
}

// Encode returns the bytes of v's object: one JSON object on one line.
func (v Verdict) Encode() ([]byte, error) {
	if err := v.Validate(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	if b.Len() > MaxBytes {
		return nil, fmt.Errorf("%d bytes encoded, the limit is %d", b.Len(), MaxBytes)
	}
	return b.Bytes(), nil
}

// Decode reads what Encode wrote, or what a later program with the same schema did: unknown fields
// are skipped.
func Decode(b []byte) (Verdict, error) {
	var v Verdict
	if err := json.Unmarshal(b, &v); err != nil {
		// A later schema may use a field in another way. Its number then says more than the field
		// that did not fit.
		var header struct {
			Schema int `json:"schema"`
		}
		if json.Unmarshal(b, &header) != nil || header.Schema <= Schema {
			return Verdict{}, err
		}
		v.Schema = header.Schema
	}
	if v.Schema > Schema {
		return Verdict{}, fmt.Errorf("%w %d: this program knows schema %d", ErrNewerSchema, v.Schema, Schema)
	}
	if err := v.Validate(); err != nil {
		return Verdict{}, err
	}
	return v, nil
}
