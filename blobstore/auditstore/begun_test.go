package auditstore

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/testservers"
	"gocloud.dev/blob/memblob"
)

// TestBegun is what every store must remember of a repeated task.
func TestBegun(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		b := memblob.OpenBucket(nil)
		begunIsOnce(t, func(*testing.T) *Store { return New(b) })
	})
	t.Run("local disk", func(t *testing.T) {
		t.Parallel()
		begunIsOnce(t, at(t.TempDir()))
	})
	t.Run("S3 server", func(t *testing.T) {
		t.Parallel()
		begunIsOnce(t, at(testservers.S3(t).BucketURL(bucketName(t))))
	})
}

func begunIsOnce(t *testing.T, open opener) {
	s := open(t)
	b := s.Begun(namespace, "1-newest")
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
			note, err := store.Begun(namespace, "1-newest").Put(t.Context(), second, []byte{byte('a' + i)})
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
	if _, err := s.Begun(namespace, "another").Put(t.Context(), first, nil); err != nil {
		t.Fatal(err)
	}
	for _, stranger := range []string{"000000000060.json.bak", "60.json", "00000000006x.json", "000000000060/x.json"} {
		must(t, s.objects.Put(t.Context(), namespace+"/schedule/1-newest/"+stranger, nil))
	}
	want(first, second)
	for range 2 {
		must(t, b.Remove(t.Context(), first))
	}
	want(second)

	for _, bad := range []Begun{s.Begun("../x", "a"), s.Begun(namespace, "a/b"), s.Begun(namespace, "")} {
		if _, err := bad.Put(t.Context(), first, nil); err == nil {
			t.Errorf("%q of %q is taken", bad.task, bad.namespace)
		}
	}
	for _, never := range []time.Time{{}, time.Unix(-1, 0), time.Unix(1_000_000_000_000, 0)} {
		if _, err := b.Put(t.Context(), never, nil); err == nil {
			t.Errorf("%v is taken", never)
		}
	}
	if _, err := b.Put(t.Context(), first, make([]byte, MaxNoticeBytes+1)); err == nil {
		t.Error("a note of any size is taken")
	}
}
