package verify

import (
	"bytes"
	"context"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/verdict"
)

// SaveTimeout is how long a finished verdict, and what belongs to it, may take to be written once
// its job was told to end.
const SaveTimeout = 30 * time.Second

// Draft is a batch on its way into the archive. A nil draft is none.
type Draft struct {
	*auditstore.ArchiveWriter
	release context.CancelFunc
}

// newDraft begins to keep the stored bytes of a batch.
func (v *Verifier) newDraft(ctx context.Context, object fetcher.Object) (*Draft, error) {
	extension := object.Extension
	if extension == ".sz" { // the other name of s2's framing
		extension = ".s2"
	}
	ctx, release := wait.Outlive(ctx, SaveTimeout)
	w, err := v.Store.ArchiveWriter(ctx, v.Namespace, object.Name.Epoch, extension)
	if err != nil {
		release()
		return nil, err
	}
	return &Draft{w, release}, nil
}

// Drop ends a draft. One that was committed stays in the archive.
func (d *Draft) Drop() {
	if d != nil {
		d.Abort()
		d.release()
	}
}

// Download returns a batch as it is stored, if it is still the one that was judged.
func (v *Verifier) Download(ctx context.Context, object fetcher.Object, judged verdict.Batch) ([]byte, error) {
	window := v.widestWindow()
	hold, ctx, err := v.Budget.memory.Acquire(ctx, v.Namespace, memoryFor(judged.StoredBytes, window))
	if err != nil {
		return nil, err
	}
	defer hold.Release()
	var stored bytes.Buffer
	batch, err := v.Fetcher.InOnePart().WithWindow(window).Open(ctx, object, &stored)
	if err != nil {
		return nil, err
	}
	defer batch.Close()
	if err := batch.Finish(); err != nil {
		return nil, err
	}
	info, err := batch.Info()
	if err == nil && info.SHA256 != judged.SHA256 {
		err = fetcher.ErrChanged
	}
	return stored.Bytes(), err
}
