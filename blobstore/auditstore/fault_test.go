package auditstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"
)

// fault is what goes wrong with a write. There are two kinds: the write fails, or it is carried out
// and its answer is lost.
type fault struct {
	persisted bool
	code      gcerrors.ErrorCode
}

// faulty is a bucket in memory whose writes go wrong as a test says.
type faulty struct {
	driver.Bucket // nil: what is not below is not called
	memory        *blob.Bucket
	// nil for a write that goes well; writes are counted from 1
	fault      func(write int) *fault
	overwrites bool // ignores IfNotExist, as some S3 servers do
	writes     int
}

type faultError struct{ fault fault }

func (e *faultError) Error() string { return fmt.Sprintf("injected fault %+v", e.fault) }

func newFaulty(f func(write int) *fault) (*faulty, *Store) {
	b := &faulty{memory: memblob.OpenBucket(nil), fault: f}
	return b, New(blob.NewBucket(b))
}

func (b *faulty) ErrorCode(err error) gcerrors.ErrorCode {
	var f *faultError
	if errors.As(err, &f) {
		return f.fault.code
	}
	return gcerrors.Code(err)
}

func (b *faulty) ErrorAs(error, any) bool { return false }
func (b *faulty) As(any) bool             { return false }
func (b *faulty) Close() error            { return nil }

func (b *faulty) NewRangeReader(ctx context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	r, err := b.memory.NewRangeReader(ctx, key, offset, length, nil)
	return faultyReader{r}, err
}

// ListPaged lists everything as one page.
func (b *faulty) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	page := &driver.ListPage{}
	for objects := b.memory.List(&blob.ListOptions{Prefix: o.Prefix, Delimiter: o.Delimiter}); ; {
		object, err := objects.Next(ctx)
		if err == io.EOF {
			return page, nil
		}
		if err != nil {
			return nil, err
		}
		page.Objects = append(page.Objects, &driver.ListObject{Key: object.Key, ModTime: object.ModTime, Size: object.Size, IsDir: object.IsDir})
	}
}

type faultyReader struct{ *blob.Reader }

func (r faultyReader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{ContentType: r.ContentType(), ModTime: r.ModTime(), Size: r.Size()}
}

func (b *faulty) NewTypedWriter(ctx context.Context, key, contentType string, o *driver.WriterOptions) (driver.Writer, error) {
	ctx, cancel := context.WithCancel(ctx)
	w, err := b.memory.NewWriter(ctx, key, &blob.WriterOptions{ContentType: contentType, IfNotExist: o.IfNotExist && !b.overwrites})
	b.writes++
	return faultyWriter{w, cancel, b.fault(b.writes)}, err
}

type faultyWriter struct {
	*blob.Writer
	cancel context.CancelFunc
	fault  *fault
}

func (w faultyWriter) Close() error {
	defer w.cancel()
	if w.fault == nil {
		return w.Writer.Close()
	}
	if !w.fault.persisted {
		w.cancel()
	}
	_ = w.Writer.Close()
	return &faultError{*w.fault}
}

func healthy(int) *fault { return nil }

// The operations that write, each with a check of what it left.
var operations = map[string]func(context.Context, *Store) error{
	"verdict": func(ctx context.Context, s *Store) error {
		recorded, created, err := s.PutVerdict(ctx, verdictBy(1, "w"))
		if err == nil && (!created || recorded.Software != "w") {
			err = fmt.Errorf("created %v, recorded %+v", created, recorded)
		}
		return err
	},
	"signature": func(ctx context.Context, s *Store) error {
		return s.PutSignature(ctx, namespace, 1, []byte("signature"))
	},
	"evidence": func(ctx context.Context, s *Store) error {
		return s.PutEvidence(ctx, namespace, 1, "e", []byte("evidence"))
	},
	"archive": func(ctx context.Context, s *Store) error { return archive(ctx, s, 1, "", []byte("archive")) },
	"seal": func(ctx context.Context, s *Store) error {
		_, err := s.PutSeal(ctx, sealOf(1, nil))
		return err
	},
	"history": func(ctx context.Context, s *Store) error {
		span := verdict.SealedSpan{Span: sealOf(1, nil).Span, Seals: []string{strings.Repeat("ab", 32)}}
		_, err := s.PutHistory(ctx, verdict.History{Namespace: namespace, Spans: []verdict.SealedSpan{span}})
		return err
	},
}

func wantAllOnRecord(t *testing.T, s *Store, operation string) {
	t.Helper()
	var got any
	var err error
	switch operation {
	case "verdict":
		var v verdict.Verdict
		v, err = s.Verdict(t.Context(), namespace, 1)
		got = v.Software == "w"
	case "signature":
		var b []byte
		b, err = s.Signature(t.Context(), namespace, 1)
		got = string(b) == "signature"
	case "evidence":
		var b []byte
		b, err = s.Evidence(t.Context(), namespace, 1, "e")
		got = string(b) == "evidence"
	case "seal":
		var seal verdict.Seal
		seal, _, err = s.Seal(t.Context(), namespace, 1)
		got = seal.To == 1999
	case "history":
		var h verdict.History
		h, err = s.History(t.Context(), namespace)
		got = h.Generation == 1 && len(h.Spans) == 1
	case "archive":
		var a *Archive
		if a, err = s.OpenArchive(t.Context(), namespace, 1); err == nil {
			var b []byte
			defer a.Close()
			b, err = io.ReadAll(a)
			got = string(b) == "archive"
		}
	}
	if err != nil || got != true {
		t.Errorf("%s is not on record as written: %v", operation, err)
	}
}

func TestWriteFaultsAreRepairedByTheNextAttempt(t *testing.T) {
	t.Parallel()
	for name, operation := range operations {
		for _, kind := range []fault{
			{persisted: false, code: gcerrors.Unknown},
			{persisted: true, code: gcerrors.Unknown},
			{persisted: false, code: gcerrors.PermissionDenied},
			{persisted: true, code: gcerrors.PermissionDenied},
			// the service's library retried its own write
			{persisted: true, code: gcerrors.FailedPrecondition},
		} {
			const writes = 4 // more than any operation makes
			for at := 1; at <= writes; at++ {
				t.Run(fmt.Sprintf("%s/%v/%v/write %d", name, kind.code, kind.persisted, at), func(t *testing.T) {
					t.Parallel()
					b, s := newFaulty(func(write int) *fault {
						if write == at {
							return &kind
						}
						return nil
					})
					first := operation(t.Context(), s)
					// An archive is streamed and cannot be written again, but it is noticed that it
					// was.
					if first != nil && kind.code == gcerrors.Unknown && (name != "archive" || kind.persisted) {
						t.Errorf("what may pass is not retried: %v", first)
					}
					b.fault = healthy
					if err := operation(t.Context(), s); err != nil {
						t.Errorf("the next attempt: %v (the first: %v)", err, first)
					}
					wantAllOnRecord(t, s, name)
				})
			}
		}
	}
}

func TestLastingFaultsAreReported(t *testing.T) {
	t.Parallel()
	for _, persisted := range []bool{false, true} {
		b, s := newFaulty(func(int) *fault { return &fault{persisted, gcerrors.Unknown} })
		_, _, err := s.PutVerdict(t.Context(), verdictBy(1, "w"))
		var f *faultError
		if !errors.As(err, &f) && !strings.Contains(fmt.Sprint(err), "injected fault") {
			t.Errorf("persisted %v: %v", persisted, err)
		}
		b.fault = healthy
		if err := operations["verdict"](t.Context(), s); err != nil {
			t.Error(err)
		}
	}
}

// A verdict that was persisted although its write failed is the one on record for whoever comes
// next.
func TestAnothersVerdictAfterALostAnswerStays(t *testing.T) {
	t.Parallel()
	b, s := newFaulty(func(write int) *fault {
		if write <= 2 {
			return nil // the probe, twice in a new bucket
		}
		return &fault{true, gcerrors.PermissionDenied}
	})
	if _, _, err := s.PutVerdict(t.Context(), verdictBy(1, "first")); err == nil {
		t.Fatal("the fault is not reported")
	}
	b.fault = healthy
	recorded, created, err := s.PutVerdict(t.Context(), verdictBy(1, "second"))
	if err != nil || created || recorded.Software != "first" {
		t.Errorf("recorded %q, created %v, %v", recorded.Software, created, err)
	}
}

func TestStoresThatIgnoreConditionsAreRefused(t *testing.T) {
	t.Parallel()
	for name, operation := range operations {
		b, s := newFaulty(healthy)
		b.overwrites = true
		if err := operation(t.Context(), s); err == nil || !strings.Contains(err.Error(), "If-None-Match") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
