package testservers

import (
	"bytes"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"gocloud.dev/blob"
)

// A client without faults, beside one with them, sees what the requests have done.
func TestFaults(t *testing.T) {
	t.Parallel()
	s := S3(t)
	content := bytes.Repeat([]byte("0123456789"), 1000)
	for _, test := range []struct {
		fault Fault
		// a write seems to fail, has happened; a read of another object goes well
		fails, written, reads bool
	}{
		{"", false, true, true},
		{Unavailable, true, false, false},
		{Unanswered, true, true, false},
		{Refused, true, false, false},
		{CutOff, true, true, false},
		{Truncated, false, true, false},
		{Slow, false, true, true},
		{DiskFull, true, false, true},
	} {
		t.Run(string(test.fault), func(t *testing.T) {
			t.Parallel()
			name := "faults" + strings.ReplaceAll(string(test.fault), " ", "")
			f := Faulty(t, s, 1)
			plain, faulty := open(t, s.BucketURL(name)), open(t, f.BucketURL(name))
			if err := plain.WriteAll(t.Context(), "there", content, nil); err != nil {
				t.Fatal(err)
			}
			if test.fault != "" {
				f.Set(1, test.fault)
			}
			if err := faulty.WriteAll(t.Context(), "new", content, nil); (err != nil) != test.fails {
				t.Errorf("writing gives %v", err)
			}
			if exists, err := plain.Exists(t.Context(), "new"); err != nil || exists != test.written {
				t.Errorf("after writing the object is there: %v, %v", exists, err)
			}
			got, err := faulty.ReadAll(t.Context(), "there")
			if test.reads && (err != nil || !bytes.Equal(got, content)) || !test.reads && err == nil {
				t.Errorf("reading gives %d bytes, %v", len(got), err)
			}
			if n := f.Counts()[test.fault]; test.fault != "" && n == 0 {
				t.Error("nothing was counted")
			}
			f.Set(0)
			if got, err := faulty.ReadAll(t.Context(), "there"); err != nil || !bytes.Equal(got, content) {
				t.Errorf("without faults reading gives %d bytes, %v", len(got), err)
			}
		})
	}
}

func TestLostRedisIsEmpty(t *testing.T) {
	t.Parallel()
	s := Redis(t, "--appendonly", "yes", "--appendfsync", "always")
	client := redis.NewClient(&redis.Options{Addr: s.Addr()})
	defer client.Close()
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.Lose(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if n, err := client.DBSize(t.Context()).Result(); n != 0 || err != nil {
		t.Errorf("%d keys, %v", n, err)
	}
}

func open(t *testing.T, url string) *blob.Bucket {
	t.Helper()
	b, err := blob.OpenBucket(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}
