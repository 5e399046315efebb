package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"
)

// mortal is a bucket as seen by one process, which dies at a change that the test chooses. That
// change is carried out or not, and nothing works afterwards.
type mortal struct {
	driver.Bucket // nil: what is not below is not called
	memory        *blob.Bucket

	mu        sync.Mutex
	at        int  // the change at which it dies, counted from 1
	persisted bool // whether that change is carried out
	changes   int
	last      string // the change at which it died
}

var errDead = errors.New("the process is dead")

func (b *mortal) ErrorCode(err error) gcerrors.ErrorCode {
	if errors.Is(err, errDead) {
		return gcerrors.PermissionDenied // which is not retried
	}
	return gcerrors.Code(err)
}

func (b *mortal) As(any) bool             { return false }
func (b *mortal) ErrorAs(error, any) bool { return false }
func (b *mortal) Close() error            { return nil }

func (b *mortal) dead() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last != ""
}

// change reports whether a change is carried out, and whether the process lives to see it.
func (b *mortal) change(what string) (carriedOut bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last != "" {
		return false, errDead
	}
	if b.changes++; b.changes == b.at {
		b.last = what
		return b.persisted, errDead
	}
	return true, nil
}

func (b *mortal) Delete(ctx context.Context, key string, _ *driver.DeleteOptions) error {
	carriedOut, err := b.change("delete " + key)
	if carriedOut {
		err = errors.Join(err, b.memory.Delete(ctx, key))
	}
	return err
}

func (b *mortal) NewTypedWriter(ctx context.Context, key, contentType string, o *driver.WriterOptions) (driver.Writer, error) {
	ctx, cancel := context.WithCancel(ctx)
	w, err := b.memory.NewWriter(ctx, key, &blob.WriterOptions{ContentType: contentType, IfNotExist: o.IfNotExist})
	return mortalWriter{w, b, key, cancel}, err
}

type mortalWriter struct {
	*blob.Writer
	bucket *mortal
	key    string
	cancel context.CancelFunc
}

func (w mortalWriter) Close() error {
	defer w.cancel()
	carriedOut, err := w.bucket.change("write " + w.key)
	if !carriedOut {
		w.cancel()
	}
	if closing := w.Writer.Close(); err == nil {
		err = closing
	}
	return err
}

func (b *mortal) NewRangeReader(ctx context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	if b.dead() {
		return nil, errDead
	}
	r, err := b.memory.NewRangeReader(ctx, key, offset, length, nil)
	return mortalReader{r}, err
}

type mortalReader struct{ *blob.Reader }

func (r mortalReader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{ContentType: r.ContentType(), ModTime: r.ModTime(), Size: r.Size()}
}

func (b *mortal) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	if b.dead() {
		return nil, errDead
	}
	all := b.memory.List(&blob.ListOptions{Prefix: o.Prefix, Delimiter: o.Delimiter})
	page := &driver.ListPage{}
	for {
		o, err := all.Next(ctx)
		if err == io.EOF {
			return page, nil
		}
		if err != nil {
			return nil, err
		}
		page.Objects = append(page.Objects, &driver.ListObject{Key: o.Key, Size: o.Size, IsDir: o.IsDir})
	}
}

// crashLease is short, so that the claim of a dead process is soon void.
const crashLease = 300 * time.Millisecond

// TestACrashAtAnyChangeLosesNoAlert runs a worker and a dispatcher over a store that dies at each
// of their changes in turn, and then what comes after a crash: a dispatcher first, and then the
// whole again.
func TestACrashAtAnyChangeLosesNoAlert(t *testing.T) {
	t.Parallel()
	v := rejection(12)
	// judge is what a worker does at the end of an epoch: the alert, then the verdict.
	judge := func(t *testing.T, s *auditstore.Store) error {
		if _, err := (Outbox{s}).Raise(t.Context(), OfVerdict(v)); err != nil {
			return err
		}
		_, _, err := s.PutVerdict(t.Context(), v)
		return err
	}
	// watch is what a scheduler does about a log that falls silent and comes back.
	watch := func(t *testing.T, s *auditstore.Store) error {
		if _, err := (Outbox{s}).Raise(t.Context(), OfSilent(namespace, 11, began)); err != nil {
			return err
		}
		return Outbox{s}.Resolve(t.Context(), namespace, SilentIncident(11), began.Add(time.Hour))
	}
	sent := map[string]string{ // by notice
		"1-rejected.000000000012": "firing " + incidentOf(Rejected, 12),
		"2-silent.000000000011":   "firing " + SilentIncident(11),
		"3-silent.000000000011":   "resolved " + SilentIncident(11),
	}
	const changes = 40 // more than there are
	for _, persisted := range []bool{false, true} {
		for n := 1; n <= changes; n++ {
			t.Run(fmt.Sprintf("persisted %v/change %d", persisted, n), func(t *testing.T) {
				t.Parallel()
				rc := newReceiver(t, nil)
				memory := memblob.OpenBucket(nil)
				dispatch := func(s *auditstore.Store) error {
					return flush(t.Context(), dispatcher(t, s, Options{lease: crashLease}, rc.target(t, "hook")))
				}
				b := &mortal{memory: memory, at: n, persisted: persisted}
				s := auditstore.New(blob.NewBucket(b))
				err := errors.Join(judge(t, s), watch(t, s), dispatch(s))
				if b.dead() != (err != nil) && !strings.Contains(b.last, "/claims/") { // a claim that stays is no error
					t.Errorf("died at %q, %v", b.last, err)
				}

				before := rc.got()
				unmarked := map[string]bool{} // sent, without a mark that says so
				for notice, incident := range sent {
					exists, err := memory.Exists(t.Context(), namespace+"/alerts/delivered/hook/"+notice+".json")
					must(t, err)
					unmarked[incident] = slices.Contains(before, incident) && !exists
				}

				alive := auditstore.New(memory)
				must(t, dispatch(alive))
				if _, err := alive.Verdict(t.Context(), namespace, v.Epoch); err == nil && !slices.Contains(rc.got(), sent["1-rejected.000000000012"]) {
					t.Errorf("died at %q: the verdict is on record, and its alert was not sent", b.last)
				}
				must(t, errors.Join(judge(t, alive), watch(t, alive)))
				for range 2 {
					must(t, dispatch(alive))
				}
				wantOpen(t, alive)
				got := rc.got()
				for _, incident := range sent {
					n := len(slices.DeleteFunc(slices.Clone(got), func(s string) bool { return s != incident }))
					if n != 1 && !(unmarked[incident] && n == 2) {
						t.Errorf("died at %q: %s was sent %d times", b.last, incident, n)
					}
				}
				if b.changes == changes {
					t.Error("there are more changes than are tested")
				}
				t.Logf("died at %q", b.last)
			})
		}
	}
}

// A raise that overlaps with the end of its incident opens the notice again, as if it were new.
func TestANoticeOpenedAgainAfterItsEndIsNotSent(t *testing.T) {
	t.Parallel()
	open := inMemory()
	rc := newReceiver(t, nil)
	s := open(t)
	raise(t, s, OfVerdict(rejection(12)))
	must(t, dispatcher(t, s, Options{}, rc.target(t, "hook")).Flush(t.Context()))
	wantOpen(t, s)
	a := filled(OfVerdict(rejection(12)))
	data, err := json.Marshal(a)
	must(t, err)
	_, err = s.Outbox(namespace).Put(t.Context(), a.noticeName(), data)
	must(t, err)
	must(t, dispatcher(t, open(t), Options{}, rc.target(t, "another")).Flush(t.Context()))
	wantOpen(t, s)
	rc.want(t, "firing rejected/000000000012")
}
