package writeonce

import (
	"errors"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore"
)

func bucketInMemory(t *testing.T) *Bucket {
	t.Helper()
	b, err := blobstore.OpenBucket(t.Context(), "mem://")
	if err != nil {
		t.Fatal(err)
	}
	o := NewBucket(b)
	t.Cleanup(func() { _ = o.Close() })
	return o
}

// Both kinds of objects keep what came first, and say so to whoever comes later. Each cloud store
// is held to the same by the tests of blobstore/auditstore.
func TestTheFirstObjectStays(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Objects{"bucket": bucketInMemory(t), "disk": diskAt(t, t.TempDir())} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := keyOf(1)
			if _, err := read(t.Context(), o, key); !errors.Is(err, ErrNotFound) {
				t.Errorf("before: %v", err)
			}
			if err := o.Put(t.Context(), key, []byte("first")); err != nil {
				t.Fatal(err)
			}
			if err := o.Put(t.Context(), key, []byte("second")); !errors.Is(err, ErrExists) {
				t.Errorf("put again: %v", err)
			}
			w, err := o.Create(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.Write([]byte("third"))
			if err := errors.Join(err, w.Commit()); !errors.Is(err, ErrExists) {
				t.Errorf("created again: %v", err)
			}
			if data, err := read(t.Context(), o, key); data != "first" || err != nil {
				t.Errorf("on record is %q, %v", data, err)
			}
		})
	}
}
