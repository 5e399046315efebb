package audit

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// A log that publishes a second batch under a name in upper case, which the akd crate reads, is
// found out, with both names as evidence.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	w := worldOf(jobstest.EmptyWorld(t))
	w.config.Keys, w.config.Signatures = signature.Keys{}, nil
	sample := os.DirFS("../../testdata/hostile/names")
	var second []string
	err := fs.WalkDir(sample, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(sample, path)
		if err != nil {
			return err
		}
		if strings.HasPrefix(path, "2/") {
			second = append(second, path)
		}
		return w.Log.WriteAll(t.Context(), path, data, nil)
	})
	if err != nil || len(second) != 2 {
		t.Fatalf("epoch 2 has %q, %v", second, err)
	}
	for epoch, want := range map[uint64]verdict.Reason{1: "", 2: verdict.Equivocation, 3: ""} {
		v, err := w.auditor(t).Audit(t.Context(), epoch)
		if err != nil || v.Reason != want {
			t.Errorf("epoch %d: %s (%s: %s), %v", epoch, v.Outcome, v.Reason, v.Detail, err)
		}
		if epoch != 2 {
			continue
		}
		evidence := strings.Join(w.Evidence(t, 2), "\n")
		for _, key := range second {
			if !strings.Contains(v.Detail, key) || !strings.Contains(evidence, key) {
				t.Errorf("%s is neither in the detail nor in the evidence:\n%s\n%s", key, v.Detail, evidence)
			}
		}
		if v.Batch.Key != second[1] || v.Digest == "" {
			t.Errorf("the verdict names %q, want the batch that is named as batches are", v.Batch.Key)
		}
	}
}

// Whatever else lies under an epoch is on record and in the log, and changes nothing.
func TestHostileStrays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 2})
	var log bytes.Buffer
	w.config.Log = zerolog.New(&log)
	key := w.KeyOf(t, 2)
	name, _, err := fetcher.ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a, b := name.PreviousDigest.String(), name.Digest.String()
	strays := []string{
		key + "/anything", fmt.Sprintf("2/%s/%s", strings.ToUpper(a), b), fmt.Sprintf("2/0x%s/%s", a, b),
		fmt.Sprintf("2/%s/%s ", a, b), "2/\u202etxt.exe\x1b[2J", "2/" + strings.Repeat("long", 250),
	}
	for i := range 14 {
		strays = append(strays, fmt.Sprintf("2/zz%02d", i))
	}
	for _, stray := range strays {
		if err := w.Log.WriteAll(t.Context(), stray, []byte("x"), nil); err != nil {
			t.Fatal(err)
		}
	}
	v, err := w.auditor(t).Audit(t.Context(), 2)
	if err != nil || v.Outcome != verdict.Verified || v.Batch.Key != key {
		t.Fatalf("%s (%s: %s), %v", v.Outcome, v.Reason, v.Detail, err)
	}
	recorded, err := w.Store.Verdict(t.Context(), jobstest.Namespace, 2)
	if err != nil || recorded.Strays == nil {
		t.Fatalf("on record are the strays %v, %v", recorded.Strays, err)
	}
	s := recorded.Strays
	if len(s.Names) != verdict.MaxStrays || s.More != len(strays)-verdict.MaxStrays {
		t.Errorf("%d names and %d more", len(s.Names), s.More)
	}
	for _, name := range s.Names {
		if len(name) > verdict.MaxStrayBytes || strings.ContainsAny(name, "\u202e\x1b") {
			t.Errorf("%q is on record as it is", name)
		}
	}
	if line := log.String(); strings.Count(line, `"strays"`) != 1 || len(line) > 2<<10 || strings.Contains(line, "\u202e") {
		t.Errorf("the log says\n%s", line)
	}
	if diff := cmp.Diff(v.Strays, recorded.Strays); diff != "" {
		t.Error(diff)
	}
	if v, err := w.auditor(t).Audit(t.Context(), 1); err != nil || v.Strays != nil {
		t.Errorf("epoch 1 has the strays %v, %v", v.Strays, err)
	}
}
