package jobstest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// ArchiveStore is an audit store with archived batches on it, in memory.
type ArchiveStore struct {
	Bucket *blob.Bucket
	Store  *auditstore.Store
}

func NewArchiveStore(t testing.TB) *ArchiveStore {
	b := OpenMemory(t)
	return &ArchiveStore{b, auditstore.New(b)}
}

func (s *ArchiveStore) Archive(t testing.TB, epoch uint64, extension, batch string) {
	t.Helper()
	w, err := s.Store.ArchiveWriter(t.Context(), Namespace, epoch, extension)
	Must(t, err)
	_, err = io.WriteString(w, batch)
	Must(t, err)
	Must(t, w.Commit())
}

func (s *ArchiveStore) Judge(t testing.TB, v verdict.Verdict) {
	t.Helper()
	_, _, err := s.Store.PutVerdict(t.Context(), v)
	Must(t, err)
}

// Verified archives the batches of honest epochs and records their verdicts.
func (s *ArchiveStore) Verified(t testing.TB, epochs ...uint64) {
	t.Helper()
	for _, epoch := range epochs {
		s.Archive(t, epoch, "", BatchOf(epoch))
		s.Judge(t, GoodVerdict(epoch))
	}
}

// Archived returns what is in the store, each batch as its epoch and extension.
func (s *ArchiveStore) Archived(t testing.TB) []string {
	t.Helper()
	left := []string{}
	for _, key := range Keys(t, s.Bucket) {
		if _, name, ok := strings.Cut(key, "/archive/"); ok {
			left = append(left, strings.TrimLeft(name[strings.Index(name, "/")+1:], "0"))
		}
	}
	return left
}

// Kept returns all that must never be touched.
func (s *ArchiveStore) Kept(t testing.TB) map[string]string {
	all := contents(t, s.Bucket)
	maps.DeleteFunc(all, func(key, _ string) bool { return strings.Contains(key, "/archive/") })
	return all
}

// WatchedStore counts the requests to a bucket, and lets one go wrong.
type WatchedStore struct {
	driver.Bucket // what is not below is not called
	b             *blob.Bucket
	Requests      atomic.Int64
	Removals      atomic.Int64
	// fault returns an error for a request that fails. One that is carried out fails only in that
	// its answer is lost.
	Fault faulting
}

// faulting is given the number of a request, from 1, and what it is about.
type faulting func(n int64, request string) (err error, carriedOut bool)

func NoFault(int64, string) (error, bool) { return nil, false }

func (s *ArchiveStore) Watched(t testing.TB, fault faulting) (*WatchedStore, *ArchiveStore) {
	w := &WatchedStore{b: s.Bucket, Fault: fault}
	b := blob.NewBucket(w)
	t.Cleanup(func() { _ = b.Close() })
	return w, &ArchiveStore{s.Bucket, auditstore.New(b)}
}

func (w *WatchedStore) do(request string, carryOut func() error) error {
	fault, carriedOut := w.Fault(w.Requests.Add(1), request)
	if fault != nil && !carriedOut {
		return fault
	}
	return cmp.Or(fault, carryOut())
}

func (w *WatchedStore) As(any) bool             { return false }
func (w *WatchedStore) Close() error            { return nil }
func (w *WatchedStore) ErrorAs(error, any) bool { return false }
func (w *WatchedStore) ErrorCode(err error) gcerrors.ErrorCode {
	if errors.Is(err, ErrFault) {
		return gcerrors.PermissionDenied // not tried again at once
	}
	return gcerrors.Code(err)
}

func (w *WatchedStore) ListPaged(ctx context.Context, o *driver.ListOptions) (page *driver.ListPage, err error) {
	err = w.do("list "+o.Prefix, func() error {
		page = &driver.ListPage{}
		token := blob.FirstPageToken
		for len(token) > 0 {
			var objects []*blob.ListObject
			var err error
			objects, token, err = w.b.ListPage(ctx, token, 1000, &blob.ListOptions{Prefix: o.Prefix, Delimiter: o.Delimiter})
			if err != nil {
				return err
			}
			for _, o := range objects {
				page.Objects = append(page.Objects, &driver.ListObject{Key: o.Key, Size: o.Size, ModTime: o.ModTime, IsDir: o.IsDir})
			}
		}
		return nil
	})
	return page, err
}

func (w *WatchedStore) NewRangeReader(ctx context.Context, key string, _, _ int64, _ *driver.ReaderOptions) (r driver.Reader, err error) {
	err = w.do("read "+key, func() error {
		data, err := w.b.ReadAll(ctx, key)
		r = &faultyReader{Reader: *bytes.NewReader(data), size: int64(len(data)), end: io.EOF}
		return err
	})
	return r, err
}

func (w *WatchedStore) Delete(ctx context.Context, key string, _ *driver.DeleteOptions) error {
	return w.do("remove "+key, func() error {
		w.Removals.Add(1)
		return w.b.Delete(ctx, key)
	})
}

func (w *WatchedStore) NewTypedWriter(ctx context.Context, key, _ string, o *driver.WriterOptions) (driver.Writer, error) {
	return &watchedWriter{store: w, ctx: ctx, key: key, options: o}, nil
}

type watchedWriter struct {
	bytes.Buffer
	store   *WatchedStore
	ctx     context.Context
	key     string
	options *driver.WriterOptions
}

func (w *watchedWriter) Close() error {
	return w.store.do("write "+w.key, func() error {
		return w.store.b.WriteAll(w.ctx, w.key, w.Bytes(), &blob.WriterOptions{IfNotExist: w.options.IfNotExist})
	})
}
