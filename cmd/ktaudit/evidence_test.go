package main

import (
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/evidence"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// TestSchedulersCollectSignedDigests: what a scheduler finds has the log's signed digests of the
// epoch and of its neighbours among its evidence, as what a worker finds.
func TestSchedulersCollectSignedDigests(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := []string{"simulate", "--log-directory", filepath.Join(dir, "log"), "--signatures", filepath.Join(dir, "signed"), "--namespace", "example", "--epochs", "3"}
	if status := execute(t.Context(), args, io.Discard, t.Output()); status != exitGood {
		t.Fatalf("exit status %d", status)
	}
	n := config.DefaultNamespace()
	n.Namespace, n.LogDirectory, n.Signatures = "example", filepath.Join(dir, "log"), filepath.Join(dir, "signed")
	a := &app{log: zerolog.Nop()}
	store := auditstore.New(jobstest.OpenMemory(t))
	var open closers
	defer func() {
		if err := open.close(); err != nil {
			t.Error(err)
		}
	}()
	schedules, err := newSchedules(t.Context(), a, observed{namespaces: []config.Namespace{n}, store: store}, observers{}, &open)
	if err != nil {
		t.Fatal(err)
	}
	schedules[0].Collect(t.Context(), incident.Concern{Epoch: 2, Reason: verdict.BrokenChain, Detail: "for this test"})
	names, err := store.EvidenceNames(t.Context(), "example", 2)
	if err != nil || len(names) != 1 || !strings.HasPrefix(names[0], evidence.Kind) {
		t.Fatalf("evidence is %q, %v", names, err)
	}
	data, err := store.Evidence(t.Context(), "example", 2, names[0])
	var found evidence.Findings
	if err == nil {
		err = json.Unmarshal(data, &found)
	}
	if err != nil {
		t.Fatal(err)
	}
	kept := map[uint64]bool{}
	for _, s := range found.SignedDigests {
		kept[s.Epoch] = kept[s.Epoch] || s.From == "log" && len(s.Data) > 0
	}
	if len(kept) != 3 || !kept[1] || !kept[2] || !kept[3] {
		t.Errorf("signed digests are %+v, want the log's of epochs 1 to 3", found.SignedDigests)
	}
}
