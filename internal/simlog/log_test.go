package simlog_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
	"gocloud.dev/blob/memblob"
)

// configurations has one of every kind, so that none is without this second implementation.
var configurations = func() (all []validator.Configuration) {
	for _, form := range validator.ConfigurationKinds() {
		c, err := validator.ParseConfiguration(strings.Replace(form, "LABEL", "ExampleLabel", 1))
		if err != nil {
			panic(err)
		}
		all = append(all, c)
	}
	return all
}()

// TestHonestLogsVerify draws options at random: whatever they are, every epoch verifies and begins
// where the last ended.
func TestHonestLogsVerify(t *testing.T) {
	t.Parallel()
	for i := range 60 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(uint64(i), 0))
			o := simlog.Options{
				Configuration: configurations[i%len(configurations)],
				Seed:          r.Uint64(),
				First:         []uint64{0, 1, 2, 700_000, 1<<64 - 100}[r.IntN(5)],
				Epochs:        1 + r.Uint64N(12),
				Insertions:    1 + r.IntN(30),
				RotationShare: float64(r.IntN(3)) / 2,
				Compression:   simlog.Compression(r.IntN(5)),
				SigningKey:    testKey,
				Ciphersuite:   1 + r.Uint32N(2),
				Namespace:     "example.key-transparency.v1",
			}
			if r.IntN(2) == 0 {
				o.DirectorySize = 1 << r.IntN(64)
			} else {
				o.FirstLoad = 1 + r.IntN(100)
			}
			w := write(t, o)
			if wrong := judge(t, w, o); len(wrong) > 0 {
				t.Errorf("%+v: %v", o, wrong)
			}
			if n := judgeChain(t, w); n != int(o.Epochs)-1 {
				t.Errorf("%d neighbours of %d epochs", n, o.Epochs)
			}
			if w.summary.Epochs != int(o.Epochs) || w.summary.Last-w.summary.First+1 != o.Epochs || w.summary.Objects != int(o.Epochs) {
				t.Errorf("summary %+v of %d epochs", w.summary, o.Epochs)
			}
			if signed := objects(t, w.signatures, ""); len(signed) != int(o.Epochs)+1 {
				t.Errorf("%d signed digests of %d epochs and the one before", len(signed), o.Epochs)
			}
		})
	}
}

// TestDefaultsAreAUsableLog also pins what a seed means: demonstrations and bug reports refer to
// logs by their options.
func TestDefaultsAreAUsableLog(t *testing.T) {
	t.Parallel()
	o := simlog.Options{Configuration: validator.WhatsAppV1()}
	w := write(t, o)
	if wrong := judge(t, w, o); len(wrong) > 0 {
		t.Error(wrong)
	}
	if s := w.summary; s.First != 1 || s.Last != 50 || s.Inserted != 50+49*20 || s.Bytes != s.StoredBytes {
		t.Errorf("summary %+v", s)
	}
	if len(objects(t, w.signatures, "")) != 0 {
		t.Error("signed digests without a key")
	}
	const want = "db8ec4c6cde0ebdb84ed7925fc0a777e735db6fd7c69a111c86d2506de665ffe"
	if got := fingerprint(t, w); got != want {
		t.Errorf("the log of the zero Options is %s, was %s", got, want)
	}
}

// fingerprint is a hash over a whole log, keys and contents.
func fingerprint(t *testing.T, w written) string {
	t.Helper()
	h := sha256.New()
	for _, all := range []map[string][]byte{objects(t, w.proofs, ""), objects(t, w.signatures, "")} {
		for _, key := range slices.Sorted(maps.Keys(all)) {
			fmt.Fprintf(h, "%s %d ", key, len(all[key]))
			h.Write(all[key])
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func TestEqualOptionsGiveEqualLogs(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]simlog.Options{
		"held":   {Epochs: 12, FirstLoad: 3000, Insertions: 500, RotationShare: 0.5, Compression: simlog.Mixed, SigningKey: testKey},
		"sealed": {Epochs: 4, DirectorySize: 1 << 40, Insertions: 500, Compression: simlog.Mixed, SigningKey: testKey},
		"tampered": {Epochs: 12, Tamper: map[uint64]simlog.Kind{2: simlog.Rewrite, 4: simlog.Delete, 6: simlog.Equivocate,
			8: simlog.Noncanonical}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := fingerprint(t, write(t, o))
			if again := fingerprint(t, write(t, o)); again != first {
				t.Errorf("%s, then %s", first, again)
			}
			o.Seed = 1
			if other := fingerprint(t, write(t, o)); other == first {
				t.Error("another seed gives the same log")
			}
		})
	}
}

// TestNextPublishesOneEpoch: a live log goes on for as long as it is asked, whatever Epochs says.
func TestNextPublishesOneEpoch(t *testing.T) {
	t.Parallel()
	proofs, signatures := memblob.OpenBucket(nil), memblob.OpenBucket(nil)
	t.Cleanup(func() { proofs.Close(); signatures.Close() })
	o := simlog.Options{Configuration: validator.WhatsAppV1(), First: 5, Epochs: 2, SigningKey: testKey, Start: time.UnixMilli(1000), Interval: time.Second}
	log, err := simlog.Open(t.Context(), proofs, signatures, o)
	if err != nil {
		t.Fatal(err)
	}
	for epoch := uint64(5); epoch < 12; epoch++ {
		e, err := log.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all := objects(t, proofs, fmt.Sprintf("%d/", epoch))
		if len(all) != 1 || len(e.Objects) != 1 || all[e.Objects[0]] == nil || e.Name.Epoch != epoch {
			t.Errorf("epoch %d: %d objects, said to be %+v", epoch, len(all), e)
		}
		if int64(len(all[e.Objects[0]])) != e.StoredBytes || e.Inserted != 20 || e.Unchanged == 0 || e.Kind != "" {
			t.Errorf("epoch %d: %+v", epoch, e)
		}
		b, _, err := signature.BucketSource{Bucket: signatures}.Get(t.Context(), epoch)
		if err != nil {
			t.Fatal(err)
		}
		s, err := signature.Parse(b)
		if want := 1000 * (epoch - 3); err != nil || s.Timestamp != want {
			t.Errorf("epoch %d: timestamp %d, want %d, error %v", epoch, s.Timestamp, want, err)
		}
	}
}

func TestLargeDirectoryEndsWithItsEpochs(t *testing.T) {
	t.Parallel()
	proofs := memblob.OpenBucket(nil)
	t.Cleanup(func() { proofs.Close() })
	log, err := simlog.Open(t.Context(), proofs, nil, simlog.Options{Epochs: 1, DirectorySize: 1 << 32})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Next(t.Context()); err == nil {
		t.Error("a second epoch")
	}
}

// TestMessengerShape: an epoch of a hundredth of Messenger's size has a hundredth of its 3.7
// million unchanged nodes and 198 MB, within 15 %.
func TestMessengerShape(t *testing.T) {
	t.Parallel()
	s := write(t, simlog.Options{Epochs: 1, First: 700_000, Insertions: 3000, DirectorySize: 1 << 32 / 100}).summary
	if s.Unchanged < 37_000*85/100 || s.Unchanged > 37_000*115/100 || s.Bytes < 1_980_000*85/100 || s.Bytes > 1_980_000*115/100 {
		t.Errorf("%+v", s)
	}
}

func TestRotationsMarkOldVersionsStale(t *testing.T) {
	t.Parallel()
	for _, share := range []float64{0, 0.5, 1} {
		w := write(t, simlog.Options{Epochs: 2, First: 2, Insertions: 40, RotationShare: share})
		// BLAKE3 of one zero byte.
		stale, _ := hex.DecodeString("2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213")
		for key, data := range objects(t, w.proofs, "") {
			if got, want := bytes.Count(data, stale), int(20*share); got != want {
				t.Errorf("share %v, %s: %d stale leaves, want %d", share, key[:2], got, want)
			}
		}
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	t.Parallel()
	tamper := func(epoch uint64, kind simlog.Kind) map[uint64]simlog.Kind {
		return map[uint64]simlog.Kind{epoch: kind}
	}
	for want, o := range map[string]simlog.Options{
		"not both":                   {FirstLoad: 1, DirectorySize: 1},
		"past the last epoch":        {First: 1<<64 - 10},
		"first load of -1":           {FirstLoad: -1},
		"-1 insertions":              {Insertions: -1},
		"rotation share 2":           {RotationShare: 2},
		"at most":                    {DirectorySize: 1, Epochs: 1000, Insertions: 1 << 20},
		"going backwards":            {Interval: -1},
		"unknown compression":        {Compression: 9},
		"no bucket for signed":       {SigningKey: testKey},
		"unknown ciphersuite":        {SigningKey: testKey, Ciphersuite: 9},
		"unknown kind":               {Tamper: tamper(1, "nothing")},
		"the log has epochs 1 to 50": {Tamper: tamper(51, simlog.Digest)},
		"the log has epochs 9 to 58": {First: 9, Tamper: tamper(8, simlog.Digest)},
		"no signing key":             {Tamper: tamper(1, simlog.Signature)},
		"directory is empty":         {Tamper: tamper(1, simlog.Rewrite)},
		"too small":                  {FirstLoad: 2, First: 2, Tamper: tamper(2, simlog.Delete)},
	} {
		proofs, signatures := memblob.OpenBucket(nil), memblob.OpenBucket(nil)
		if want == "no bucket for signed" {
			signatures = nil
		} else {
			defer signatures.Close()
		}
		defer proofs.Close()
		_, err := simlog.Write(t.Context(), proofs, signatures, o, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// TestFaultLeavesNoHalfObject: an epoch that could not be published is not there, and the log says
// so from then on.
func TestFaultLeavesNoHalfObject(t *testing.T) {
	t.Parallel()
	proofs := memblob.OpenBucket(nil)
	t.Cleanup(func() { proofs.Close() })
	log, err := simlog.Open(t.Context(), proofs, nil, simlog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := log.Next(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
	if _, err := log.Next(t.Context()); err != nil {
		t.Errorf("cancelled before it began, the epoch can still be published: %v", err)
	}
	proofs.Close()
	_, first := log.Next(t.Context())
	_, second := log.Next(t.Context())
	if first == nil || first != second {
		t.Errorf("errors %v and %v, want one error twice", first, second)
	}
}

func TestParseCompression(t *testing.T) {
	t.Parallel()
	for c := simlog.None; c <= simlog.Mixed; c++ {
		if got, err := simlog.ParseCompression(c.String()); err != nil || got != c {
			t.Errorf("%v: %v, error %v", c, got, err)
		}
	}
	if _, err := simlog.ParseCompression("lzma"); err == nil {
		t.Error("lzma: accepted")
	}
}
