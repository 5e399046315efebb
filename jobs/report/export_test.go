package report

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/verdict"
)

func TestEachVerdict(t *testing.T) {
	t.Parallel()
	store := auditstore.New(jobstest.OpenMemory(t))
	var all []uint64
	for epoch := uint64(700); epoch <= 1300; epoch++ { // more than are read at once, in two shards
		all = append(all, epoch)
	}
	all = append(all, 9_000_000)
	for _, epoch := range all {
		jobstest.PutVerdict(t, store, epoch, "")
	}
	for _, c := range []struct {
		name     string
		from, to uint64
		want     []uint64
	}{
		{"all", 0, 0, all},
		{"from", 1299, 0, []uint64{1299, 1300, 9_000_000}},
		{"to", 0, 701, []uint64{700, 701}},
		{"none", 2000, 3000, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got []uint64
			err := EachVerdict(t.Context(), store, jobstest.Namespace, c.from, c.to, func(v verdict.Verdict, _ *OverruledEpoch) error {
				got = append(got, v.Epoch)
				return nil
			})
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("visited %d, %v, want %d", got, err, c.want)
			}
		})
	}
}

func TestEachVerdictStops(t *testing.T) {
	t.Parallel()
	bucket := jobstest.OpenMemory(t)
	store := auditstore.New(bucket)
	for epoch := uint64(1); epoch <= 300; epoch++ {
		jobstest.PutVerdict(t, store, epoch, "")
	}
	stop, visited := errors.New("stop"), 0
	visit := func(verdict.Verdict, *OverruledEpoch) error {
		if visited++; visited == 2 {
			return stop
		}
		return nil
	}
	if err := EachVerdict(t.Context(), store, jobstest.Namespace, 0, 0, visit); err != stop || visited != 2 {
		t.Errorf("error %v after %d verdicts, want the visitor's after 2", err, visited)
	}
	key := jobstest.Namespace + "/verdicts/000000000/000000000299.json"
	if err := bucket.WriteAll(t.Context(), key, []byte("{"), nil); err != nil {
		t.Fatal(err)
	}
	visited = 2
	err := EachVerdict(t.Context(), store, jobstest.Namespace, 0, 0, visit)
	if !errors.Is(err, auditstore.ErrCorrupt) || !strings.Contains(err.Error(), key) {
		t.Errorf("error %v, want ErrCorrupt with the key", err)
	}
}
