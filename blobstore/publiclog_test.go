package blobstore_test

import (
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"gocloud.dev/blob/memblob"
)

// TestOpenPublicLog: a public log opens like any bucket, can be read, and cannot be an audit store.
func TestOpenPublicLog(t *testing.T) {
	t.Parallel()
	behind := memblob.OpenBucket(nil)
	defer behind.Close()
	if err := behind.WriteAll(t.Context(), "7/a/b", []byte("batch"), nil); err != nil {
		t.Fatal(err)
	}
	url := s3listtest.New(t, behind).BucketURL()
	bucket, err := blobstore.OpenBucket(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	if data, err := bucket.ReadAll(t.Context(), "7/a/b"); err != nil || string(data) != "batch" {
		t.Errorf("read %q, %v", data, err)
	}
	if _, err := blobstore.OpenBucket(t.Context(), url+"?rat=5"); err == nil || !strings.Contains(err.Error(), `did you mean "rate"`) {
		t.Errorf("a misspelled parameter: %v", err)
	}
	if s, err := auditstore.Open(t.Context(), url); err == nil {
		_ = s.Close()
		t.Error("a public log was opened as an audit store")
	} else if !strings.Contains(err.Error(), "read-only") {
		t.Errorf("a public log as an audit store: %v", err)
	}
}
