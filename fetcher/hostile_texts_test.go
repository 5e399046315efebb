package fetcher

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/s3list"
	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"
)

const (
	rude    = "\x1b[2J\u202e\n"
	harmful = "\x1b\u202e\n"
)

// wantSafe holds an error against the limits on what is kept of a log's or a store's texts.
func wantSafe(t *testing.T, what string, err error) {
	t.Helper()
	if s := fmt.Sprint(err); err == nil || len(s) > 1<<10 || strings.ContainsAny(s, harmful) {
		t.Errorf("%s: %d bytes: %.100q", what, len(s), s)
	}
}

// ETags of 62 KB that change all the time end up in no error, and are told apart all the same.
func TestHostileETags(t *testing.T) {
	t.Parallel()
	log := memblob.OpenBucket(nil)
	defer log.Close()
	if err := log.WriteAll(t.Context(), key(1, digestA, digestB), []byte("proof"), nil); err != nil {
		t.Fatal(err)
	}
	server := s3listtest.New(t, log)
	var n atomic.Int64
	server.ETags(func(string, string) string { return fmt.Sprintf(`"%s%d"`, strings.Repeat("e", 62<<10), n.Add(1)) })
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := s3list.OpenBucket(u, s3list.Options{Rate: 1000, Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	f := New(bucket, Options{Backoff: time.Millisecond, MaxAttempts: 2})
	object, err := f.Locate(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := f.Open(t.Context(), object, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Close()
	if _, err := io.Copy(io.Discard, batch); err != nil {
		t.Fatal(err)
	}
	if err := batch.Stale(); !errors.Is(err, ErrChanged) {
		t.Errorf("got %v, want ErrChanged", err)
	}
	wantSafe(t, "stale", batch.Stale())
	if len(object.ETag) > 1<<10 {
		t.Errorf("an ETag of %d bytes is kept", len(object.ETag))
	}
}

// What a store answers is cut and escaped, and still the error that it is.
func TestHostileErrorTexts(t *testing.T) {
	t.Parallel()
	shouted := fmt.Errorf("%w: %s", errServer, strings.Repeat(rude, 20_000))
	b := one([]byte("proof"), func(int, int64) fault { return fault{open: shouted} })
	batch := fetch(t, b, Options{MaxAttempts: 2, Backoff: time.Microsecond}, nil)
	_, err := io.Copy(io.Discard, batch)
	wantSafe(t, "reading", err)
	if !errors.Is(err, errServer) || !Transient(err) {
		t.Errorf("reading: %v", err)
	}
	b = &faultyBucket{list: func(int) ([]*driver.ListObject, bool, error) { return nil, false, shouted }}
	_, err = New(b.open(t), Options{}).Locate(t.Context(), 1)
	wantSafe(t, "listing", err)
	if !errors.Is(err, errServer) || !Transient(err) {
		t.Errorf("listing: %v", err)
	}
	b = &faultyBucket{list: func(int) ([]*driver.ListObject, bool, error) {
		return listed(5, func(i int) string {
			return key(1, digestA, fmt.Sprintf("%064x", i)) + "/" + strings.Repeat(rude, 20_000)
		}), false, nil
	}}
	_, err = New(b.open(t), Options{}).Locate(t.Context(), 1)
	wantSafe(t, "equivocation", err)
	if e, ok := errors.AsType[*EquivocationError](err); !ok || len(strings.Join(e.Keys, "")) > 5<<10 || strings.ContainsAny(strings.Join(e.Keys, ""), harmful) {
		t.Errorf("equivocation: %T", err)
	}
}
