package testservers

import (
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"
	"gocloud.dev/blob"
)

func TestRedisLosesItsDataOnlyWithoutPersistence(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		keep bool
	}{
		"default":     {nil, false},
		"append only": {[]string{"--appendonly", "yes", "--appendfsync", "always"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := Redis(t, test.args...)
			client := redis.NewClient(&redis.Options{Addr: s.Addr()})
			defer client.Close()
			if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
				t.Fatal(err)
			}
			s.Kill()
			if err := client.Ping(t.Context()).Err(); err == nil {
				t.Fatal("a killed server answers")
			}
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			_, err := client.Get(t.Context(), "k").Result()
			if kept := !errors.Is(err, redis.Nil); kept != test.keep {
				t.Errorf("after a restart: kept %v, want %v (%v)", kept, test.keep, err)
			}
		})
	}
}

func TestRedisURLIsUnderstoodByTheClient(t *testing.T) {
	t.Parallel()
	s := Redis(t)
	o, err := redis.ParseURL(s.URL())
	if err != nil || o.Addr != s.Addr() {
		t.Fatalf("%s is parsed as %+v, %v", s.URL(), o, err)
	}
}

func TestS3KeepsObjectsAcrossRestarts(t *testing.T) {
	t.Parallel()
	s := S3(t)
	bucket, err := blob.OpenBucket(t.Context(), s.BucketURL("one"))
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	if err := bucket.WriteAll(t.Context(), "a/b", []byte("v"), nil); err != nil {
		t.Fatal(err)
	}
	for _, end := range []func(){s.Stop, s.Kill} {
		end()
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		got, err := bucket.ReadAll(t.Context(), "a/b")
		if err != nil || string(got) != "v" {
			t.Fatalf("after a restart: %q, %v", got, err)
		}
	}
}

func TestServersRunSideBySide(t *testing.T) {
	t.Parallel()
	a, b := S3(t), S3(t)
	if a.Endpoint() == b.Endpoint() {
		t.Fatalf("both on %s", a.Endpoint())
	}
	bucket, err := blob.OpenBucket(t.Context(), b.BucketURL("one"))
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	if err := bucket.WriteAll(t.Context(), "k", nil, nil); err != nil {
		t.Fatal(err)
	}
	other, err := blob.OpenBucket(t.Context(), a.BucketURL("one"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if exists, err := other.Exists(t.Context(), "k"); err != nil || exists {
		t.Errorf("an object of one server in the other: %v, %v", exists, err)
	}
}
