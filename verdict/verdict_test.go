package verdict

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	rejected := func(v *Verdict) { v.Outcome, v.Reason = Rejected, "malformed_proof" }
	for name, test := range map[string]struct {
		change func(*Verdict)
		valid  bool
	}{
		"verified":                         {func(*Verdict) {}, true},
		"rejected":                         {rejected, true},
		"rejected without a batch":         {func(v *Verdict) { rejected(v); v.Digest, v.PreviousDigest, v.Batch = "", "", Batch{} }, true},
		"no schema":                        {func(v *Verdict) { v.Schema = 0 }, false},
		"newer schema":                     {func(v *Verdict) { v.Schema = 2 }, false},
		"no namespace":                     {func(v *Verdict) { v.Namespace = "" }, false},
		"namespace that climbs":            {func(v *Verdict) { v.Namespace = "a/../b" }, false},
		"epoch beyond the layout":          {func(v *Verdict) { v.Epoch = MaxEpoch + 1 }, false},
		"no outcome":                       {func(v *Verdict) { v.Outcome = "" }, false},
		"unknown outcome":                  {func(v *Verdict) { v.Outcome = "Verified" }, false},
		"verified with a reason":           {func(v *Verdict) { v.Reason = "malformed_proof" }, false},
		"rejected without a reason":        {func(v *Verdict) { rejected(v); v.Reason = "" }, false},
		"reason that is a sentence":        {func(v *Verdict) { rejected(v); v.Reason = "Malformed proof" }, false},
		"long detail":                      {func(v *Verdict) { rejected(v); v.Detail = strings.Repeat("x", MaxDetailBytes+1) }, false},
		"verified without digest":          {func(v *Verdict) { v.Digest = "" }, false},
		"verified without previous":        {func(v *Verdict) { v.PreviousDigest = "" }, false},
		"verified without sha256":          {func(v *Verdict) { v.Batch.SHA256 = "" }, false},
		"digest in upper case":             {func(v *Verdict) { v.Digest = strings.ToUpper(v.Digest) }, false},
		"short digest":                     {func(v *Verdict) { v.Digest = v.Digest[1:] }, false},
		"digest with a line break":         {func(v *Verdict) { v.Digest += "\n" }, false},
		"rejected with a malformed digest": {func(v *Verdict) { rejected(v); v.PreviousDigest = "00" }, false},
		"negative count":                   {func(v *Verdict) { v.Unchanged = -1 }, false},
	} {
		v := valid()
		test.change(&v)
		if err := v.Validate(); (err == nil) != test.valid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnencodableVerdictsAreErrors(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Verdict){
		"seconds": func(v *Verdict) { v.VerifySeconds = math.NaN() },
		"year":    func(v *Verdict) { v.StartedAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		v := valid()
		change(&v)
		if _, err := v.Encode(); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
}

func TestContradicts(t *testing.T) {
	t.Parallel()
	rejected := valid()
	rejected.Outcome, rejected.Reason = Rejected, "malformed_proof"
	for name, test := range map[string]struct {
		of     Verdict
		change func(*Verdict)
		want   bool
	}{
		"same":               {valid(), func(*Verdict) {}, false},
		"timing, software":   {valid(), func(v *Verdict) { v.VerifySeconds, v.Software, v.StartedAt = 9, "x", time.Time{} }, false},
		"stored differently": {valid(), func(v *Verdict) { v.Batch = Batch{SHA256: strings.Repeat("d", 64)} }, false},
		"outcome":            {valid(), func(v *Verdict) { v.Outcome, v.Reason = Rejected, "digest_mismatch" }, true},
		"digest":             {valid(), func(v *Verdict) { v.Digest = strings.Repeat("d", 64) }, true},
		"previous digest":    {valid(), func(v *Verdict) { v.PreviousDigest = strings.Repeat("d", 64) }, true},
		"other reason":       {rejected, func(v *Verdict) { v.Reason = "overlapping_labels" }, false},
	} {
		other := test.of
		test.change(&other)
		if test.of.Contradicts(other) != test.want || other.Contradicts(test.of) != test.want {
			t.Errorf("%s: want %v", name, test.want)
		}
	}
}

func TestDecodeVerdict(t *testing.T) {
	t.Parallel()
	whole, err := valid().Encode()
	if err != nil {
		t.Fatal(err)
	}
	added := strings.Replace(string(whole), "{", `{"later": {"field": [1]}, `, 1)
	if v, err := Decode([]byte(added)); err != nil || !reflect.DeepEqual(v, valid()) {
		t.Errorf("with an unknown field: %+v, %v", v, err)
	}
	for _, newer := range []string{
		strings.Replace(string(whole), `"schema":1`, `"schema":2`, 1),
		`{"schema":3,"outcome":{"verified":true},"epoch":"one"}`,
	} {
		if _, err := Decode([]byte(newer)); !errors.Is(err, ErrNewerSchema) {
			t.Errorf("%.60s: %v, want ErrNewerSchema", newer, err)
		}
	}
	for n := range len(whole) - 1 { // the last byte is the line break
		if _, err := Decode(whole[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are taken for a verdict", n, len(whole))
		}
	}
}

func FuzzDecodeVerdict(f *testing.F) {
	whole, err := valid().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(`{"schema":2,"outcome":7}`))
	f.Add([]byte(`{"schema":1,"namespace":"n","epoch":1,"outcome":"rejected","reason":"equivocation"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := Decode(b)
		if err != nil {
			return
		}
		if err := v.Validate(); err != nil {
			t.Fatalf("an invalid verdict is read: %v", err)
		}
		again, err := v.Encode()
		if err != nil {
			if len(b) < MaxBytes/8 { // invalid UTF-8 and control characters grow
				t.Fatalf("a verdict that was read cannot be written: %v", err)
			}
			return
		}
		if w, err := Decode(again); err != nil || w.Contradicts(v) || w.Reason != v.Reason || w.Epoch != v.Epoch {
			t.Fatalf("read again as %+v, %v", w, err)
		}
	})
}

// valid is a valid verdict.
func valid() Verdict {
	keyID := uint8(3)
	return Verdict{
		Schema: Schema, Namespace: "example.key-transparency.v1", Epoch: 1, Outcome: Verified,
		PreviousDigest: strings.Repeat("a1", 32), Digest: strings.Repeat("b2", 32),
		Inserted: 20, Unchanged: 40,
		Batch: Batch{Key: "1/<&>", Bytes: 5000, StoredBytes: 4000, Compression: "zstd",
			SHA256: strings.Repeat("c3", 32)},
		Signature: Signature{Status: "verified", KeyID: &keyID, Timestamp: 1_790_000_000_000},
		StartedAt: time.Unix(1_790_000_000, 123456789).UTC(), FinishedAt: time.Unix(1_790_000_001, 0).UTC(),
		VerifySeconds: 0.25, Software: "w",
	}
}

// A limit of the auditor's is no statement about the batch, but digests are what they are.
func TestLimitsContradictNothing(t *testing.T) {
	t.Parallel()
	verified := Verdict{Outcome: Verified, Digest: "a", PreviousDigest: "b"}
	limited, malformed, other := verified, verified, verified
	limited.Outcome, limited.Reason = Rejected, BatchTooLarge
	malformed.Outcome, malformed.Reason = Rejected, MalformedProof
	other.Digest = "c"
	for _, c := range []struct {
		name string
		v, o Verdict
		want bool
	}{
		{"verified", limited, verified, false}, {"malformed", limited, malformed, false}, {"another digest", limited, other, true},
		{"no limit", malformed, verified, true},
	} {
		if c.v.Contradicts(c.o) != c.want || c.o.Contradicts(c.v) != c.want {
			t.Errorf("%s: want %t", c.name, c.want)
		}
	}
}

func TestStraysAreBounded(t *testing.T) {
	t.Parallel()
	long := make([]string, MaxStrays)
	for i := range long {
		long[i] = strings.Repeat("x", MaxStrayBytes)
	}
	for _, c := range []struct {
		strays *Strays
		want   bool
	}{
		{nil, true}, {&Strays{Names: long, More: 1000}, true}, {&Strays{}, false}, {&Strays{Names: long, More: -1}, false},
		{&Strays{Names: append(long, "x")}, false}, {&Strays{Names: []string{long[0] + "x"}}, false},
	} {
		v := Verdict{
			Schema: Schema, Namespace: "example", Epoch: 1, Outcome: Rejected, Reason: Equivocation, Strays: c.strays,
			Detail: strings.Repeat("x", MaxDetailBytes),
		}
		if _, err := v.Encode(); (err == nil) != c.want {
			t.Errorf("%v: %v", c.strays, err)
		}
	}
}
