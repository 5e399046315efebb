package simlog_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/simlog"
)

// TestTamperedEpochsGetTheirReason: exactly the epoch tampered with is wrong, with the reason of
// its kind, in small logs, large directories, both configurations, and however often luck is tried.
func TestTamperedEpochsGetTheirReason(t *testing.T) {
	t.Parallel()
	for _, kind := range simlog.Kinds() {
		for seed := range uint64(12) {
			t.Run(fmt.Sprintf("%s/%d", kind, seed), func(t *testing.T) {
				t.Parallel()
				o := simlog.Options{
					Configuration: configurations[seed%2],
					Seed:          seed,
					Epochs:        8,
					Insertions:    1 + int(seed%4),
					RotationShare: 0.5,
					Compression:   simlog.Mixed,
					SigningKey:    testKey,
					Namespace:     "example.key-transparency.v1",
					Tamper:        map[uint64]simlog.Kind{4: kind},
				}
				if seed%3 == 0 {
					o.DirectorySize = 1 << (seed + 4)
				} else {
					o.FirstLoad = 3 * int(seed)
				}
				w := write(t, o)
				if got, want := judge(t, w, o), map[uint64]string{4: expectedOf(kind)}; !maps.Equal(got, want) {
					t.Errorf("found %v, want %v", got, want)
				}
				judgeChain(t, w)
			})
		}
	}
}

func expectedOf(kind simlog.Kind) string {
	outcome, reason := simlog.Expected(kind)
	return strings.TrimSpace(outcome + " " + string(reason))
}

// TestFirstEpochTampered: what needs no past works in the epoch that fills the empty directory too.
func TestFirstEpochTampered(t *testing.T) {
	t.Parallel()
	for _, kind := range simlog.Kinds() {
		if kind == simlog.Rewrite || kind == simlog.Delete || kind == simlog.Reuse {
			continue
		}
		o := simlog.Options{Configuration: configurations[0], Epochs: 3, FirstLoad: 1, SigningKey: testKey,
			Namespace: "n", Tamper: map[uint64]simlog.Kind{1: kind}}
		if got, want := judge(t, write(t, o), o), map[uint64]string{1: expectedOf(kind)}; !maps.Equal(got, want) {
			t.Errorf("%s: found %v, want %v", kind, got, want)
		}
	}
}

// TestAllKindsInOneLog also lets each kind meet what the others leave in the tree.
func TestAllKindsInOneLog(t *testing.T) {
	t.Parallel()
	for _, size := range []uint64{0, 1 << 20} {
		o := simlog.Options{Configuration: configurations[0], Epochs: 100, DirectorySize: size, SigningKey: testKey,
			Namespace: "n", Tamper: map[uint64]simlog.Kind{}}
		want := map[uint64]string{}
		for i := range uint64(72) {
			kind := simlog.Kinds()[i%12]
			o.Tamper[i+10] = kind
			want[i+10] = expectedOf(kind)
		}
		w := write(t, o)
		if got := judge(t, w, o); !maps.Equal(got, want) {
			t.Errorf("directory of %d: found %v, want %v", size, got, want)
		}
		judgeChain(t, w)
	}
}

func TestParseTamper(t *testing.T) {
	t.Parallel()
	for _, kind := range simlog.Kinds() {
		epoch, got, err := simlog.ParseTamper("17=" + string(kind))
		if epoch != 17 || got != kind || err != nil {
			t.Errorf("%s: %d, %s, error %v", kind, epoch, got, err)
		}
	}
	for _, bad := range []string{"", "17", "17=", "=rewrite", "017=rewrite", "0=rewrite", "-1=rewrite", "17=Rewrite", "17 =rewrite", "1=2=rewrite"} {
		if _, _, err := simlog.ParseTamper(bad); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
}

func TestEveryKindIsExpectedToBeNoticed(t *testing.T) {
	t.Parallel()
	if n := len(simlog.Kinds()); n != 12 {
		t.Errorf("%d kinds", n)
	}
	for _, kind := range simlog.Kinds() {
		outcome, reason := simlog.Expected(kind)
		if (outcome == simlog.Gap) != (reason == "") || outcome != simlog.Gap && outcome != simlog.Rejected {
			t.Errorf("%s: outcome %q, reason %q", kind, outcome, reason)
		}
	}
}
