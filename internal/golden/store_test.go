package golden_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"
)

// object is what was stored under a key.
type object struct {
	key  string
	data []byte
	note string // stands for the bytes in the golden file, if it is not empty
}

// maxShown is how many bytes of an object a golden file shows. Of longer ones their hash is there,
// too.
const maxShown = 4 << 10

func (o object) text() string {
	text := string(o.data)
	switch {
	case o.note != "":
		text = "(" + o.note + ")\n"
	case !utf8.Valid(o.data):
		text = fmt.Sprintf("(%d bytes, SHA-256 %x)\n", len(o.data), sha256.Sum256(o.data))
	case len(o.data) > maxShown:
		text += fmt.Sprintf("(%d bytes, SHA-256 %x)\n", len(o.data), sha256.Sum256(o.data))
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n(no newline at the end)\n"
	}
	return "== " + o.key + "\n" + text
}

var evidenceName = regexp.MustCompile(`/evidence/.*-([0-9a-f]{16})(\.\w+)?$`)

// checkEvidenceNames holds the hash in the names of evidence against the bytes.
func checkEvidenceNames(t *testing.T, all []object) {
	t.Helper()
	for _, o := range all {
		if !strings.Contains(o.key, "/evidence/") {
			continue
		}
		hash := fmt.Sprintf("%x", sha256.Sum256(o.data))[:16]
		if match := evidenceName.FindStringSubmatch(o.key); match == nil || match[1] != hash {
			t.Errorf("%s: its name does not end with the hash of the bytes, %s", o.key, hash)
		}
	}
}

// recorder is a bucket in memory that keeps what was ever written, also what is removed again.
type recorder struct {
	driver.Bucket // nil: what is not below is not called
	memory        *blob.Bucket

	mu      sync.Mutex
	written map[string][]byte
	changed chan struct{} // gets a value after a write, unless one is waiting there
}

func newRecorder(t *testing.T) *recorder {
	b := memblob.OpenBucket(nil)
	t.Cleanup(func() { _ = b.Close() })
	return &recorder{memory: b, written: map[string][]byte{}, changed: make(chan struct{}, 1)}
}

// objects returns all that was written, in the order of the keys.
func (r *recorder) objects() []object {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []object
	for key, data := range r.written {
		all = append(all, object{key: key, data: data})
	}
	slices.SortFunc(all, func(a, b object) int { return strings.Compare(a.key, b.key) })
	return all
}

func (r *recorder) ErrorCode(err error) gcerrors.ErrorCode { return gcerrors.Code(err) }
func (r *recorder) As(any) bool                            { return false }
func (r *recorder) ErrorAs(error, any) bool                { return false }
func (r *recorder) Close() error                           { return nil }

func (r *recorder) Delete(ctx context.Context, key string, _ *driver.DeleteOptions) error {
	return r.memory.Delete(ctx, key)
}

func (r *recorder) NewTypedWriter(ctx context.Context, key, contentType string, o *driver.WriterOptions) (driver.Writer, error) {
	w, err := r.memory.NewWriter(ctx, key, &blob.WriterOptions{ContentType: contentType, IfNotExist: o.IfNotExist})
	return &recordedWriter{Writer: w, recorder: r, key: key}, err
}

type recordedWriter struct {
	*blob.Writer
	recorder *recorder
	key      string
	data     []byte
}

func (w *recordedWriter) Write(p []byte) (int, error) {
	w.data = append(w.data, p...)
	return w.Writer.Write(p)
}

func (w *recordedWriter) Close() error {
	err := w.Writer.Close()
	if err == nil {
		w.recorder.mu.Lock()
		w.recorder.written[w.key] = w.data
		w.recorder.mu.Unlock()
		select {
		case w.recorder.changed <- struct{}{}:
		default:
		}
	}
	return err
}

func (r *recorder) NewRangeReader(ctx context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	reader, err := r.memory.NewRangeReader(ctx, key, offset, length, nil)
	return recordedReader{reader}, err
}

type recordedReader struct{ *blob.Reader }

func (r recordedReader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{ContentType: r.ContentType(), ModTime: r.ModTime(), Size: r.Size()}
}

func (r *recorder) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	all := r.memory.List(&blob.ListOptions{Prefix: o.Prefix, Delimiter: o.Delimiter})
	page := &driver.ListPage{}
	for {
		o, err := all.Next(ctx)
		if errors.Is(err, io.EOF) {
			return page, nil
		}
		if err != nil {
			return nil, err
		}
		page.Objects = append(page.Objects, &driver.ListObject{Key: o.Key, Size: o.Size, ModTime: o.ModTime, IsDir: o.IsDir})
	}
}
