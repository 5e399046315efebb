package audit

import (
	"bytes"
	"context"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/rs/zerolog"
)

// panickingAt panics at the nth call of Read or of Stage for Memory.
type panickingAt struct {
	observe.Nothing
	read, memory int
}

func (p *panickingAt) Begin(context.Context, string, uint64) observe.Attempt { return p }

func (p *panickingAt) Read(int64, int64) {
	if p.read--; p.read == 0 {
		panic("on purpose")
	}
}

func (p *panickingAt) Stage(s observe.Stage, _ time.Time) {
	if s != observe.Memory {
		return
	}
	if p.memory--; p.memory == 0 {
		panic("on purpose")
	}
}

// TestPanicLeavesNoDraft: after a panic nothing of a batch that was being kept is left behind.
func TestPanicLeavesNoDraft(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]*panickingAt{
		"while the batch is fetched":          {read: 1},
		"before a rejected one is read again": {memory: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simlog.Options{Epochs: 1, Tamper: map[uint64]simlog.Kind{1: simlog.Malformed}})
			folder := t.TempDir()
			store, err := auditstore.Open(t.Context(), folder)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			w.config.Store, w.config.Archive, w.config.Metrics = store, true, at
			if _, err := w.auditor(t).Audit(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "panic") {
				t.Errorf("error is %v, want one about a panic", err)
			}
			folders := 0
			err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
				if err == nil && !entry.IsDir() && strings.Contains(path, "/.tmp/") {
					t.Errorf("%s is left", path)
				}
				if err == nil && entry.Name() == ".tmp" {
					folders++
				}
				return err
			})
			if err != nil || folders == 0 {
				t.Errorf("%d folders of drafts, %v: the test shows nothing", folders, err)
			}
		})
	}
}

func TestPanicBecomesAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simlog.Options{Epochs: 1})
	var log bytes.Buffer
	w.config.Log = zerolog.New(&log)
	a := w.auditor(t)
	a.Budget = nil // which New never lets happen
	_, err := a.Audit(t.Context(), 1)
	if err == nil || !strings.Contains(err.Error(), "panic") {
		t.Errorf("error is %v, want one about a panic", err)
	}
	if !strings.Contains(log.String(), "batch.go") {
		t.Errorf("the log has no stack:\n%s", log.String())
	}
}
