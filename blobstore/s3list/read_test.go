package s3list

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"github.com/ktaudit/ktaudit/internal/resume"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

const alphabet = "abcdefghijklmnopqrstuvwxyz"

func read(ctx context.Context, b *blob.Bucket, key string, offset, length int64) (string, error) {
	r, err := b.NewRangeReader(ctx, key, offset, length, nil)
	if err != nil {
		return "", err
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err == nil && r.Size() != int64(len(alphabet)) {
		err = fmt.Errorf("size %d", r.Size())
	}
	return string(content), err
}

func TestRanges(t *testing.T) {
	t.Parallel()
	for _, server := range []struct {
		name  string
		fault []s3listtest.Fault
	}{{"as S3", nil}, {"without ranges", []s3listtest.Fault{s3listtest.IgnoreRange}}} {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			b, s := opened(t, map[string]string{"key": alphabet}, quick())
			s.Always(server.fault...)
			for _, test := range []struct {
				offset, length int64
				want           string // "-" for an error
			}{
				{0, -1, alphabet}, {0, 26, alphabet}, {0, 100, alphabet}, {0, 1, "a"}, {0, 0, ""},
				{3, -1, alphabet[3:]}, {3, 4, "defg"}, {20, 100, "uvwxyz"}, {25, 1, "z"}, {25, 0, ""}, {3, 1<<63 - 1, alphabet[3:]},
				{26, -1, ""}, {26, 5, ""}, {26, 0, ""}, {27, -1, "-"}, {27, 5, "-"}, {27, 0, "-"},
			} {
				got, err := read(t.Context(), b, "key", test.offset, test.length)
				if test.want == "-" && gcerrors.Code(err) == gcerrors.InvalidArgument {
					continue
				}
				if err != nil || got != test.want {
					t.Errorf("%d bytes from %d: %q, %v", test.length, test.offset, got, err)
				}
			}
		})
	}
}

func TestEmptyObject(t *testing.T) {
	t.Parallel()
	b, _ := opened(t, map[string]string{"key": ""}, quick())
	for _, length := range []int64{-1, 0, 5} {
		r, err := b.NewRangeReader(t.Context(), "key", 0, length, nil)
		if err != nil {
			t.Fatal(err)
		}
		if content, err := io.ReadAll(r); len(content) != 0 || err != nil || r.Size() != 0 {
			t.Errorf("length %d: %q of %d, %v", length, content, r.Size(), err)
		}
		r.Close()
	}
}

// TestBrokenBodies: a body comes whole or ends in an error.
func TestBrokenBodies(t *testing.T) {
	t.Parallel()
	header := func(name, value string) s3listtest.Fault {
		return s3listtest.Edit(func(h http.Header, body []byte) []byte {
			h.Set(name, value)
			return body
		})
	}
	without := func(name string) s3listtest.Fault {
		return s3listtest.Edit(func(h http.Header, body []byte) []byte {
			h.Del(name)
			return body
		})
	}
	part := func(from, until int, contentRange string) s3listtest.Fault {
		return s3listtest.Edit(func(h http.Header, body []byte) []byte {
			h.Set("Content-Range", contentRange)
			return body[from:until]
		})
	}
	const offset = 5
	for name, test := range map[string]struct {
		next   []s3listtest.Fault
		always s3listtest.Fault
		want   error // nil if all bytes come
		gone   int   // requests
	}{
		"cut once":           {next: []s3listtest.Fault{s3listtest.Cut(3)}, gone: 2},
		"cut four times":     {next: []s3listtest.Fault{s3listtest.Cut(3), s3listtest.Cut(0), s3listtest.Cut(1), s3listtest.Cut(2)}, gone: 5},
		"cut five times":     {always: s3listtest.Cut(1), want: io.ErrUnexpectedEOF, gone: 5},
		"never a byte":       {always: s3listtest.Cut(0), want: io.ErrUnexpectedEOF, gone: 5},
		"cut, then 503":      {next: []s3listtest.Fault{s3listtest.Cut(3), s3listtest.Status(503, "SlowDown")}, gone: 3},
		"stalled once":       {next: []s3listtest.Fault{s3listtest.Stall(3)}, gone: 2},
		"always stalled":     {always: s3listtest.Stall(0), want: errTimeout, gone: 5},
		"longer than it is":  {always: header("Content-Length", "30"), want: ErrMalformed, gone: 1},
		"other version":      {next: []s3listtest.Fault{s3listtest.Cut(3), header("ETag", `"x"`)}, want: ErrChanged, gone: 2},
		"written again":      {next: []s3listtest.Fault{s3listtest.Cut(3), header("Last-Modified", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))}, want: ErrChanged, gone: 2},
		"other size":         {next: []s3listtest.Fault{s3listtest.Cut(3), header("Content-Range", "bytes 8-25/27")}, want: ErrChanged, gone: 2},
		"smaller now":        {next: []s3listtest.Fault{s3listtest.Cut(3), s3listtest.Status(416, "InvalidRange")}, want: ErrChanged, gone: 2},
		"deleted":            {next: []s3listtest.Fault{s3listtest.Cut(3), s3listtest.Status(404, "NoSuchKey")}, want: &Error{Status: 404}, gone: 2},
		"page midway":        {next: []s3listtest.Fault{s3listtest.Cut(3), s3listtest.Page(200)}, want: ErrMalformed, gone: 2},
		"page":               {always: s3listtest.Page(200), want: ErrMalformed, gone: 1},
		"without ETag":       {always: without("ETag"), want: ErrMalformed, gone: 1},
		"without time":       {always: without("Last-Modified"), want: ErrMalformed, gone: 1},
		"without a range":    {always: without("Content-Range"), want: ErrMalformed, gone: 1},
		"other range":        {always: header("Content-Range", "bytes 4-24/26"), want: ErrMalformed, gone: 1},
		"range begins late":  {always: part(1, 21, "bytes 6-25/26"), want: ErrMalformed, gone: 1},
		"length of another":  {always: header("Content-Range", "bytes 5-24/26"), want: ErrMalformed, gone: 1},
		"shorter range":      {next: []s3listtest.Fault{part(0, 20, "bytes 5-24/26")}, gone: 2},
		"size of the range":  {always: header("Content-Range", "bytes 5-25/*"), want: ErrMalformed, gone: 1},
		"range past the end": {always: header("Content-Range", "bytes 5-25/25"), want: ErrMalformed, gone: 1},
		"whole object, cut": {next: []s3listtest.Fault{func(h http.Handler) http.Handler {
			return s3listtest.Cut(2)(s3listtest.IgnoreRange(h))
		}}, gone: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := quick()
			if strings.Contains(name, "stalled") {
				o.IdleTimeout = time.Second // enough for what does not stall
			}
			b, server := opened(t, map[string]string{"key": alphabet}, o)
			server.Next(test.next...)
			if test.always != nil {
				server.Always(test.always)
			}
			got, err := read(t.Context(), b, "key", offset, -1)
			if test.want == nil {
				if err != nil || got != alphabet[offset:] {
					t.Errorf("%q, %v", got, err)
				}
			} else if e, ok := errors.AsType[*Error](test.want); ok {
				if got, ok := errors.AsType[*Error](err); !ok || got.Status != e.Status {
					t.Errorf("%v", err)
				}
			} else if !errors.Is(err, test.want) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%q, %v", got, err)
			}
			if !strings.HasPrefix(alphabet[offset:], got) {
				t.Errorf("got %q", got)
			}
			if n := len(server.Requests()); n != test.gone {
				t.Errorf("%d requests, want %d", n, test.gone)
			}
		})
	}
}

func TestResumesWhereItBroke(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789abcdef"), 64<<10/16*20)
	b, server := opened(t, map[string]string{"key": string(content)}, quick())
	// More breaks than attempts, but each after enough bytes.
	for range 15 {
		server.Next(s3listtest.Cut(resume.MinProgress + 100))
	}
	got, err := b.ReadAll(t.Context(), "key")
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%d of %d bytes: %v", len(got), len(content), err)
	}
	requests := server.Requests()
	want := fmt.Sprintf("bytes=%d-%d", resume.MinProgress+100, len(content)-1)
	if len(requests) != 16 || requests[0].Header.Get("Range") != "" || requests[1].Header.Get("Range") != want {
		t.Errorf("%d requests, ranges %q and %q", len(requests), requests[0].Header.Get("Range"), requests[1].Header.Get("Range"))
	}
}

// TestReplacedObject: the server is right in each of its answers, but they are of two versions.
func TestReplacedObject(t *testing.T) {
	t.Parallel()
	for _, ranges := range []bool{true, false} {
		b, server := opened(t, map[string]string{"key": alphabet}, quick())
		if !ranges {
			server.Always(s3listtest.IgnoreRange)
		}
		server.Next(s3listtest.Cut(10))
		r, err := b.NewReader(t.Context(), "key", nil)
		if err != nil {
			t.Fatal(err)
		}
		server.Replace(t, "key", strings.ToUpper(alphabet))
		got, err := io.ReadAll(r)
		if !errors.Is(err, ErrChanged) || gcerrors.Code(err) != gcerrors.FailedPrecondition || string(got) != alphabet[:10] {
			t.Errorf("ranges %t: %q, %v", ranges, got, err)
		}
		r.Close()
	}
}

func TestLengthThatIsTooLong(t *testing.T) {
	t.Parallel()
	b, server := opened(t, map[string]string{"key": alphabet}, quick())
	server.Always(s3listtest.Edit(func(h http.Header, body []byte) []byte {
		h.Set("Content-Length", "30")
		return body
	}))
	if got, err := read(t.Context(), b, "key", 0, -1); err == nil || got != alphabet {
		t.Errorf("%q, %v", got, err)
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b, server := opened(t, map[string]string{"key": alphabet}, quick())
	server.Next(s3listtest.Stall(3))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := b.NewReader(ctx, "key", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	b, server := opened(t, map[string]string{"a/b": alphabet}, quick())
	a, err := b.Attributes(t.Context(), "a/b")
	if err != nil || a.Size != 26 || a.ETag == "" || a.ModTime.IsZero() {
		t.Errorf("%+v, %v", a, err)
	}
	for name, test := range map[string]struct {
		key   string
		fault s3listtest.Fault
		want  gcerrors.ErrorCode
	}{
		"missing":      {"a/c", nil, gcerrors.NotFound},
		"forbidden":    {"a/b", s3listtest.Status(403, "AccessDenied"), gcerrors.PermissionDenied},
		"page":         {"a/b", s3listtest.Page(200), gcerrors.Internal},
		"empty key":    {"", nil, gcerrors.InvalidArgument},
		"server error": {"a/b", s3listtest.Status(500, "InternalError"), gcerrors.Internal},
	} {
		if test.fault != nil {
			server.Always(test.fault)
		} else {
			server.Always()
		}
		if _, err := b.Attributes(t.Context(), test.key); gcerrors.Code(err) != test.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
