package farstore_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/internal/farstore"
	"gocloud.dev/blob"
)

// What is served is what is in the folder, in whatever parts it is asked for, and is counted.
func TestStore(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, "7", "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "7", "a", "b"), []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, line := range map[string]farstore.Line{
		"near": {}, "far": {Latency: time.Millisecond, Connection: 1 << 20, Total: 1 << 20},
	} {
		store, err := farstore.Serve(t.Context(), folder, line)
		if err != nil {
			t.Fatal(name, err)
		}
		defer store.Close()
		b, err := blobstore.OpenBucket(t.Context(), store.BucketURL())
		if err != nil {
			t.Fatal(name, err)
		}
		defer b.Close()
		for prefix, want := range map[string]int{"7/": 1, "": 1, "8/": 0} {
			objects, _, err := b.ListPage(t.Context(), blob.FirstPageToken, 1000, &blob.ListOptions{Prefix: prefix})
			if err != nil || len(objects) != want || want == 1 && (objects[0].Key != "7/a/b" || objects[0].Size != 10) {
				t.Errorf("%s: %q lists %d objects, %v", name, prefix, len(objects), err)
			}
		}
		r, err := b.NewRangeReader(t.Context(), "7/a/b", 3, 4, nil)
		if err != nil {
			t.Fatal(name, err)
		}
		defer r.Close()
		if got, err := io.ReadAll(r); err != nil || string(got) != "3456" || r.Size() != 10 {
			t.Errorf("%s: %q of %d, %v", name, got, r.Size(), err)
		}
		if exists, err := b.ReadAll(t.Context(), "7/none"); err == nil {
			t.Errorf("%s: there is %q", name, exists)
		}
		if all, most := store.Requests(); store.Sent() != 4 || all != 1 || most != 1 {
			t.Errorf("%s: %d bytes in %d requests, %d at once", name, store.Sent(), all, most)
		}
	}
}

// A line brings no more than it can.
func TestLine(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "object"), make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := farstore.Serve(t.Context(), folder, farstore.Line{Latency: 50 * time.Millisecond, Connection: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	b, err := blobstore.OpenUnasked(t.Context(), store.BucketURL())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	began := time.Now()
	if _, err := b.ReadAll(t.Context(), "object"); err != nil {
		t.Fatal(err)
	}
	// The least that it can take, whatever else the machine does: two latencies, and all bytes but
	// those that may go out at once.
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("2 MiB at 8 MiB/s came in %s", took)
	}
}
