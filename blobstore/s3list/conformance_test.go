package s3list

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/drivertest"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"
)

// TestConformance runs gocloud's suite for drivers. The suite writes what it then lists and reads;
// a public log can't be written, so here its writes go into the bucket behind the server, and its
// listings and reads through the driver.
//
// What its tests TestCanceledWrite, TestCopy, TestDelete, TestIfNotExist and TestWrite say of
// writing is therefore said of the bucket behind; what they read back is said of the driver.
// TestMetadata is left out, because public logs have no metadata and the driver reads none.
// TestSignedURL leaves itself out, as it does for drivers without signed URLs.
func TestConformance(t *testing.T) {
	t.Parallel()
	drivertest.RunConformanceTests(t, func(_ context.Context, t *testing.T) (drivertest.Harness, error) {
		if strings.Contains(t.Name(), "/TestMetadata/") {
			t.Skip("public logs have no metadata")
		}
		behind := memblob.OpenBucket(nil)
		return &harness{behind: behind, server: s3listtest.New(t, behind), t: t}, nil
	}, nil)
}

type harness struct {
	behind *blob.Bucket
	server *s3listtest.Server
	t      *testing.T
}

func (h *harness) MakeDriver(context.Context) (driver.Bucket, error) {
	return h.open(h.server.URL)
}

func (h *harness) MakeDriverForNonexistentBucket(context.Context) (driver.Bucket, error) {
	// S3 has no such bucket; to our server the path is an object, which it doesn't have either.
	return h.open(h.server.URL + "/no-such-bucket")
}

func (h *harness) open(rawURL string) (driver.Bucket, error) {
	b, err := openBucket(parseURL(h.t, rawURL), quick())
	return &seeded{b, h.behind}, err
}

func (h *harness) HTTPClient() *http.Client         { return nil }
func (h *harness) SupportsCopy() bool               { return true }
func (h *harness) SupportsNonSlashDelimiters() bool { return true }
func (h *harness) Close()                           { _ = h.behind.Close() }

// seeded is the driver for which somebody else writes.
type seeded struct {
	*bucket
	behind *blob.Bucket
}

func (s *seeded) NewTypedWriter(ctx context.Context, key, contentType string, o *driver.WriterOptions) (driver.Writer, error) {
	if key == "" {
		return nil, errors.New("no key")
	}
	return s.behind.NewWriter(ctx, key, &blob.WriterOptions{
		CacheControl: o.CacheControl, ContentDisposition: o.ContentDisposition, ContentEncoding: o.ContentEncoding,
		ContentLanguage: o.ContentLanguage, ContentMD5: o.ContentMD5, ContentType: contentType, Metadata: o.Metadata,
		DisableContentTypeDetection: o.DisableContentTypeDetection, BeforeWrite: o.BeforeWrite, IfNotExist: o.IfNotExist,
	})
}

func (s *seeded) Copy(ctx context.Context, to, from string, o *driver.CopyOptions) error {
	return s.behind.Copy(ctx, to, from, &blob.CopyOptions{BeforeCopy: o.BeforeCopy})
}

func (s *seeded) Delete(ctx context.Context, key string, o *driver.DeleteOptions) error {
	return s.behind.DeleteWithOptions(ctx, key, &blob.DeleteOptions{BeforeDelete: o.BeforeDelete})
}

func TestWritesFail(t *testing.T) {
	t.Parallel()
	b, server := opened(t, map[string]string{"key": "content"}, quick())
	ctx := t.Context()
	_, signing := b.SignedURL(ctx, "key", nil)
	for name, err := range map[string]error{
		"write":  b.WriteAll(ctx, "new", []byte("content"), nil),
		"copy":   b.Copy(ctx, "new", "key", nil),
		"delete": b.Delete(ctx, "key"),
		"sign":   signing,
	} {
		if gcerrors.Code(err) != gcerrors.Unimplemented || !errors.Is(err, ErrReadOnly) || !strings.Contains(err.Error(), "read-only") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(server.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// quick are options for servers on this machine: failures are soon over, but many requests are
// fine.
func quick() Options {
	return Options{Rate: maxRate, Backoff: time.Millisecond, IdleTimeout: 10 * time.Second, MaxPause: 10 * time.Second}
}

// opened serves objects, and opens the bucket.
func opened(t *testing.T, objects map[string]string, o Options) (*blob.Bucket, *s3listtest.Server) {
	t.Helper()
	server := serve(t, objects)
	return openAt(t, server.URL, o), server
}

func serve(t *testing.T, objects map[string]string) *s3listtest.Server {
	t.Helper()
	behind := memblob.OpenBucket(nil)
	t.Cleanup(func() { behind.Close() })
	for key, content := range objects {
		if err := behind.WriteAll(t.Context(), key, []byte(content), nil); err != nil {
			t.Fatal(err)
		}
	}
	server := s3listtest.New(t, behind)
	t.Cleanup(func() { // a pause that it asked for must not be held against the port's next owner
		hosts.Lock()
		defer hosts.Unlock()
		delete(hosts.byName, parseURL(t, server.URL).Host)
	})
	return server
}

func openAt(t *testing.T, rawURL string, o Options) *blob.Bucket {
	t.Helper()
	b, err := OpenBucket(parseURL(t, rawURL), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func parseURL(t *testing.T, rawURL string) *url.URL {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
