package simlog_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/simlog"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

// tampered has every kind that changes the tree, or what is there of an epoch; some at the ends,
// where a process may have stopped.
var tampered = map[uint64]simlog.Kind{
	2: simlog.Rewrite, 3: simlog.Missing, 4: simlog.Missing, 5: simlog.Delete, 6: simlog.Equivocate, 7: simlog.Noncanonical,
	8: simlog.Reuse, 9: simlog.SignedDigest, 10: simlog.Signature, 12: simlog.Missing,
}

// TestContinueGivesTheSameLog stops a log after every object that it publishes, and has another
// process go on: the result is the log of a process that never stopped.
func TestContinueGivesTheSameLog(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]simlog.Options{
		"honest":        {Epochs: 12, RotationShare: 0.2, Compression: simlog.Mixed, SigningKey: testKey},
		"tampered":      {Epochs: 12, SigningKey: testKey, Tamper: tampered},
		"begins absent": {Epochs: 5, SigningKey: testKey, Tamper: map[uint64]simlog.Kind{1: simlog.Missing, 2: simlog.Missing}},
		"has a past":    {First: 700_000, Epochs: 6, SigningKey: testKey, Tamper: map[uint64]simlog.Kind{700_002: simlog.Equivocate}},
		"the last ones": {First: 1<<64 - 10, Epochs: 6},
		"large":         {Epochs: 4, DirectorySize: 1 << 40, Insertions: 100, SigningKey: testKey},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := write(t, o)
			want := fingerprint(t, whole)
			order := published(t, whole, o)
			for stopped := range len(order) + 1 {
				for goOn, how := range map[string]func(*testing.T, written, simlog.Options){"Continue": continueLog, "Write": writeAgain} {
					w := written{proofs: memblob.OpenBucket(nil), signatures: memblob.OpenBucket(nil)}
					for _, object := range order[:stopped] {
						object.copy(t, w)
					}
					how(t, w, o)
					if got := fingerprint(t, w); got != want {
						t.Errorf("%s after %d objects: %s, want %s", goOn, stopped, got, want)
					}
				}
			}
		})
	}
}

// object is one that a log publishes.
type object struct {
	signed bool
	key    string
	data   []byte
}

func (o object) copy(t *testing.T, to written) {
	t.Helper()
	bucket := to.proofs
	if o.signed {
		bucket = to.signatures
	}
	if err := bucket.WriteAll(t.Context(), o.key, o.data, nil); err != nil {
		t.Fatal(err)
	}
}

// published returns the objects of a log in the order in which it publishes them.
func published(t *testing.T, w written, o simlog.Options) (order []object) {
	t.Helper()
	signed := objects(t, w.signatures, "")
	first := max(o.First, 1)
	add := func(epoch uint64) {
		key := fmt.Sprintf("%d.json", epoch)
		if data, ok := signed[key]; ok {
			order = append(order, object{true, key, data})
		}
	}
	add(first - 1)
	for epoch := first; epoch < first+o.Epochs; epoch++ {
		proofs := objects(t, w.proofs, fmt.Sprintf("%d/", epoch))
		for _, key := range slices.Sorted(maps.Keys(proofs)) { // of two, either may be the first
			order = append(order, object{false, key, proofs[key]})
		}
		add(epoch)
	}
	return order
}

func continueLog(t *testing.T, w written, o simlog.Options) {
	t.Helper()
	log, err := simlog.Continue(t.Context(), w.proofs, w.signatures, o)
	for err == nil && !log.Complete() {
		_, err = log.Next(t.Context())
	}
	if err != nil {
		t.Error(err)
	}
}

func writeAgain(t *testing.T, w written, o simlog.Options) {
	t.Helper()
	summary, err := simlog.Write(t.Context(), w.proofs, w.signatures, o, nil)
	if err != nil || uint64(summary.Epochs) != o.Epochs {
		t.Errorf("%+v, %v", summary, err)
	}
}

// TestContinueKeepsWhatIsThere: an object that is written again has another time, which an auditor
// would ask about.
func TestContinueKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	o := simlog.Options{Epochs: 9, SigningKey: testKey, Now: time.Now}
	o.Tamper = maps.Clone(tampered)
	maps.DeleteFunc(o.Tamper, func(epoch uint64, _ simlog.Kind) bool { return epoch > 9 })
	w := write(t, o)
	before := modified(t, w)
	continueLog(t, w, o)
	writeAgain(t, w, o)
	if after := modified(t, w); !maps.Equal(before, after) {
		t.Errorf("written at %v, then at %v", before, after)
	}
}

func modified(t *testing.T, w written) map[string]time.Time {
	t.Helper()
	times := map[string]time.Time{}
	for _, bucket := range []*blob.Bucket{w.proofs, w.signatures} {
		for key := range objects(t, bucket, "") {
			attributes, err := bucket.Attributes(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			times[key] = attributes.ModTime
		}
	}
	return times
}

// TestNoTwoLogsAreMixed: what another log left is refused, and nothing is written.
func TestNoTwoLogsAreMixed(t *testing.T) {
	t.Parallel()
	o := simlog.Options{Epochs: 6, SigningKey: testKey, Tamper: map[uint64]simlog.Kind{3: simlog.Equivocate}}
	other := func(change func(*simlog.Options)) func(*testing.T) written {
		return func(t *testing.T) written {
			changed := o
			change(&changed)
			return write(t, changed)
		}
	}
	holding := func(objects ...object) func(*testing.T) written {
		return func(t *testing.T) written {
			w := written{proofs: memblob.OpenBucket(nil), signatures: memblob.OpenBucket(nil)}
			for _, object := range objects {
				object.copy(t, w)
			}
			return w
		}
	}
	for name, build := range map[string]func(*testing.T) written{
		"another seed":            other(func(o *simlog.Options) { o.Seed = 7 }),
		"another seed, forked":    other(func(o *simlog.Options) { o.Seed, o.Epochs = 7, 3 }),
		"other insertions":        other(func(o *simlog.Options) { o.Insertions = 3 }),
		"another key":             other(func(o *simlog.Options) { o.SigningKey = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) }),
		"another name":            other(func(o *simlog.Options) { o.Namespace = "other" }),
		"another kind of object":  holding(object{false, "readme.txt", []byte("hello")}),
		"a log in a folder":       holding(object{false, "log/1/x/y", []byte("hello")}),
		"other signed digests":    holding(object{true, "17.json", []byte("{}")}),
		"something among digests": holding(object{true, "0.json", []byte("{}")}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := build(t)
			before := fingerprint(t, w)
			for how, err := range map[string]error{
				"Write": func() error { _, err := simlog.Write(t.Context(), w.proofs, w.signatures, o, nil); return err }(),
				"Continue": func() error {
					log, err := simlog.Continue(t.Context(), w.proofs, w.signatures, o)
					for err == nil && !log.Complete() {
						_, err = log.Next(t.Context())
					}
					return err
				}(),
			} {
				if !errors.Is(err, simlog.ErrOtherLog) || strings.Count(err.Error(), "another log") != 1 {
					t.Errorf("%s: %v, want that another log is there", how, err)
				}
			}
			if fingerprint(t, w) != before {
				t.Error("something was written")
			}
		})
	}
}
