package begun

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"gocloud.dev/blob/memblob"
)

// TestBegun is what every store must remember of a repeated task.
func TestBegun(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		b := memblob.OpenBucket(nil)
		begunIsOnce(t, func(*testing.T) *auditstore.Store { return auditstore.New(b) })
	})
	t.Run("local disk", func(t *testing.T) {
		t.Parallel()
		begunIsOnce(t, at(t.TempDir()))
	})
	t.Run("S3 server", func(t *testing.T) {
		t.Parallel()
		begunIsOnce(t, at(testservers.S3(t).BucketURL("begun")))
	})
}

const namespace = "example.key-transparency.v1"

func at(url string) func(*testing.T) *auditstore.Store {
	return func(t *testing.T) *auditstore.Store {
		s, err := auditstore.Open(t.Context(), url)
		jobstest.Must(t, err)
		t.Cleanup(func() { s.Close() })
		return s
	}
}

func begunIsOnce(t *testing.T, open func(*testing.T) *auditstore.Store) {
	s := open(t)
	b := Of(s, namespace, "1-newest")
	first, second := time.Unix(60, 0).UTC(), time.Unix(1_800_000_000, 0).UTC()
	want := func(want ...time.Time) {
		t.Helper()
		if got, err := b.Times(t.Context()); err != nil || !slices.Equal(got, want) {
			t.Errorf("times are %v, %v, want %v", got, err, want)
		}
	}
	want()
	notes := make([]string, 8)
	var all sync.WaitGroup
	for i := range notes {
		store := open(t)
		all.Go(func() {
			note, err := Of(store, namespace, "1-newest").Put(t.Context(), second, []byte{byte('a' + i)})
			if err != nil {
				t.Error(err)
			}
			notes[i] = string(note)
		})
	}
	all.Wait()
	if len(slices.Compact(notes)) != 1 {
		t.Errorf("competing writers were told %q, want one note", notes)
	}
	if _, err := b.Put(t.Context(), first, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Of(s, namespace, "another").Put(t.Context(), first, nil); err != nil {
		t.Fatal(err)
	}
	for _, stranger := range []string{"000000000060.json.bak", "60.json", "00000000006x.json", "000000000060/x.json"} {
		_, err := s.Files(namespace, "schedule").Put(t.Context(), "1-newest/"+stranger, nil, 0)
		jobstest.Must(t, err)
	}
	want(first, second)
	for range 2 {
		jobstest.Must(t, b.Remove(t.Context(), first))
	}
	want(second)

	for _, bad := range []Record{Of(s, "../x", "a"), Of(s, namespace, "a/b"), Of(s, namespace, "")} {
		if _, err := bad.Put(t.Context(), first, nil); err == nil {
			t.Errorf("%q of %q is taken", bad.task, namespace)
		}
	}
	for _, never := range []time.Time{{}, time.Unix(-1, 0), time.Unix(1_000_000_000_000, 0)} {
		if _, err := b.Put(t.Context(), never, nil); err == nil {
			t.Errorf("%v is taken", never)
		}
	}
	if _, err := b.Put(t.Context(), first, make([]byte, auditstore.MaxNoticeBytes+1)); err == nil {
		t.Error("a note of any size is taken")
	}
}
