package s3list_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/ktaudit/ktaudit/blobstore/s3list"
	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/gcerrors"
)

const vectors = "../../testdata/vectors/whatsapp-v1/log"

// publicLog serves a recorded log as the public ones are served.
func publicLog(t *testing.T) (*s3listtest.Server, *fetcher.Fetcher) {
	t.Helper()
	behind, err := fileblob.OpenBucket(vectors, &fileblob.Options{Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { behind.Close() })
	server := s3listtest.New(t, behind)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := s3list.OpenBucket(u, s3list.Options{Rate: 10_000, Backoff: time.Millisecond, IdleTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bucket.Close() })
	return server, fetcher.New(bucket, fetcher.Options{Backoff: time.Millisecond})
}

// fetch is what a worker does for an epoch.
func fetch(t *testing.T, f *fetcher.Fetcher, epoch uint64) (key string, content []byte, err error) {
	t.Helper()
	object, err := f.Locate(t.Context(), epoch)
	if err != nil {
		return "", nil, err
	}
	batch, err := f.Open(t.Context(), object, nil)
	if err != nil {
		return object.Key, nil, err
	}
	defer batch.Close()
	content, err = io.ReadAll(batch)
	return object.Key, content, err
}

func TestFetcherReadsAPublicLog(t *testing.T) {
	t.Parallel()
	faults := []s3listtest.Fault{
		nil, s3listtest.Status(503, "SlowDown"), s3listtest.Cut(40), nil, s3listtest.HangUp, s3listtest.Status(500, "InternalError"),
		nil, s3listtest.Cut(0), s3listtest.Page(502), s3listtest.Cut(300),
	}
	for name, faulty := range map[string]bool{"well": false, "with faults": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, f := publicLog(t)
			for epoch := uint64(1); epoch <= 30; epoch++ {
				if faulty {
					server.Next(faults...)
				}
				key, content, err := fetch(t, f, epoch)
				if err != nil {
					t.Fatalf("epoch %d: %v", epoch, err)
				}
				want, err := os.ReadFile(filepath.Join(vectors, filepath.FromSlash(key)))
				if err != nil || !bytes.Equal(content, want) {
					t.Errorf("epoch %d: %d bytes, want %d, %v", epoch, len(content), len(want), err)
				}
			}
			if !faulty {
				if _, _, err := fetch(t, f, 31); !errors.Is(err, fetcher.ErrNotPublished) {
					t.Errorf("epoch 31: %v", err)
				}
			}
		})
	}
}

// TestFetcherIsNotFooled: a log that can't be asked is never one that has not published.
func TestFetcherIsNotFooled(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]s3listtest.Fault{
		"login page":      s3listtest.Page(200),
		"nothing":         s3listtest.Body(200, "application/xml", ""),
		"missing":         s3listtest.Status(404, "NoSuchBucket"),
		"forbidden":       s3listtest.Status(403, "AccessDenied"),
		"broken":          s3listtest.Cut(200),
		"prefix dropped":  s3listtest.DropQuery("prefix"),
		"version dropped": s3listtest.DropQuery("list-type"),
		"cut off": s3listtest.Edit(func(_ http.Header, body []byte) []byte {
			return body[:max(0, len(body)-10)]
		}),
		"other namespace": s3listtest.Edit(func(_ http.Header, body []byte) []byte {
			return bytes.Replace(body, []byte("2006-03-01"), []byte("2007-03-01"), 1)
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, f := publicLog(t)
			server.Always(fault)
			for _, epoch := range []uint64{1, 31} {
				object, err := f.Locate(t.Context(), epoch)
				if err == nil || errors.Is(err, fetcher.ErrNotPublished) || !fetcher.Transient(err) {
					t.Errorf("epoch %d: %v, %v", epoch, object, err)
				}
			}
		})
	}
}

// TestObjectThatIsSwapped: the listing is of one object, the bytes are of another.
func TestObjectThatIsSwapped(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]s3listtest.Fault{
		"shorter": s3listtest.Edit(func(_ http.Header, body []byte) []byte { return body[:len(body)/2] }),
		"longer":  s3listtest.Edit(func(_ http.Header, body []byte) []byte { return append(body, 'x') }),
		"a page":  s3listtest.Page(200),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, f := publicLog(t)
			object, err := f.Locate(t.Context(), 3)
			if err != nil {
				t.Fatal(err)
			}
			server.Always(fault)
			batch, err := f.Open(t.Context(), object, nil)
			if err == nil {
				_, err = io.ReadAll(batch)
				batch.Close()
			}
			if err == nil || !fetcher.Transient(err) {
				t.Errorf("no transient error: %v", err)
			}
		})
	}
}

// TestRealServer reads a bucket that anybody may read, without credentials, from a real S3 server.
func TestRealServer(t *testing.T) {
	t.Parallel()
	server := testservers.S3(t)
	writer, err := blob.OpenBucket(t.Context(), server.BucketURL("public-log")+"&response_checksum_validation=when_required")
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	address, err := url.Parse(server.Endpoint() + "/public-log")
	if err != nil {
		t.Fatal(err)
	}
	b, err := s3list.OpenBucket(address, s3list.Options{Rate: 10_000, Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	keys := []string{"1/a b+c%&/é", "1/x/y", "1/z", "12/a"}
	for _, key := range keys {
		if err := writer.WriteAll(t.Context(), key, []byte("content of "+key), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := b.ListPage(t.Context(), blob.FirstPageToken, 10, nil); gcerrors.Code(err) != gcerrors.PermissionDenied {
		t.Errorf("before it is public: %v", err)
	}
	makePublic(t, writer)

	for _, pageSize := range []int{1, 2, 1000} {
		if got := keysOf(t, b, pageSize, &blob.ListOptions{}); !slices.Equal(got, keys) {
			t.Errorf("pages of %d: %q", pageSize, got)
		}
		if got := keysOf(t, b, pageSize, &blob.ListOptions{Prefix: "1/"}); !slices.Equal(got, keys[:3]) {
			t.Errorf("prefix, pages of %d: %q", pageSize, got)
		}
		if got := keysOf(t, b, pageSize, &blob.ListOptions{Prefix: "1/", Delimiter: "/"}); !slices.Equal(got, []string{"1/a b+c%&/", "1/x/", "1/z"}) {
			t.Errorf("folders, pages of %d: %q", pageSize, got)
		}
	}
	if got := keysOf(t, b, 10, &blob.ListOptions{Prefix: "2/"}); len(got) != 0 {
		t.Errorf("nothing there: %q", got)
	}
	if page, _, err := b.ListPage(t.Context(), s3list.After("1/x/y"), 10, nil); err != nil || len(page) != 2 || page[0].Key != "1/z" {
		t.Errorf("after a key: %v, %v", page, err)
	}
	for _, key := range keys {
		if got, err := b.ReadAll(t.Context(), key); err != nil || string(got) != "content of "+key {
			t.Errorf("%s: %q, %v", key, got, err)
		}
	}
	r, err := b.NewRangeReader(t.Context(), "12/a", 11, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != "12" || r.Size() != 15 {
		t.Errorf("range: %q of %d, %v", got, r.Size(), err)
	}
	if _, err := b.Attributes(t.Context(), "12/b"); gcerrors.Code(err) != gcerrors.NotFound {
		t.Errorf("missing: %v", err)
	}
	if _, err := b.NewRangeReader(t.Context(), "12/a", 99, -1, nil); gcerrors.Code(err) != gcerrors.InvalidArgument {
		t.Errorf("past the end: %v", err)
	}
}

func makePublic(t *testing.T, writer *blob.Bucket) {
	t.Helper()
	var client *s3.Client
	if !writer.As(&client) {
		t.Fatal("no S3 client")
	}
	policy := strings.ReplaceAll(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":"*","Action":"s3:ListBucket","Resource":"arn:aws:s3:::BUCKET"},
		{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::BUCKET/*"}]}`, "BUCKET", "public-log")
	if _, err := client.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: aws.String("public-log"), Policy: &policy}); err != nil {
		t.Fatal(err)
	}
}

func keysOf(t *testing.T, b *blob.Bucket, pageSize int, o *blob.ListOptions) (keys []string) {
	t.Helper()
	page, next, err := b.ListPage(t.Context(), blob.FirstPageToken, pageSize, o)
	for ; err == nil; page, next, err = b.ListPage(t.Context(), next, pageSize, o) {
		for _, object := range page {
			keys = append(keys, object.Key)
		}
	}
	if err != io.EOF {
		t.Errorf("%+v: %v", *o, err)
	}
	return keys
}
