package testservers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/s3blob" // s3:// URLs
)

// The credentials and region of every S3Server.
const (
	S3AccessKey = "ktaudit-test"
	S3SecretKey = "ktaudit-test-secret"
	S3Region    = "us-east-1"
)

const readyBucket, readyKey = "testservers-ready", "token"

// S3Server is a running S3 server that keeps buckets as directories of a local folder.
type S3Server struct {
	server
}

// S3 starts an S3 server that ends with the test.
//
// AWS's library takes credentials from the environment, and t.Setenv forbids parallel tests. All
// servers therefore share fixed credentials, and the first one started sets them in this process's
// environment, where they stay.
func S3(t testing.TB) *S3Server {
	t.Helper()
	leaveOutIfShort(t)
	s, err := NewS3()
	must(t, err)
	s.closeWith(t)
	return s
}

// NewS3 is S3 for programs that are not tests. The caller must call Close.
func NewS3() (*S3Server, error) {
	binary, err := find("versitygw")
	if err != nil {
		return nil, err
	}
	if err := setCredentials(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ktaudit-s3-")
	if err != nil {
		return nil, err
	}
	s := &S3Server{server{binary: binary, dir: dir}}
	s.args = func(addr string) []string {
		return []string{"--port", addr, "--access", S3AccessKey, "--secret", S3SecretKey, "--region", S3Region, "--quiet",
			"posix", s.buckets()}
	}
	token := rand.Text()
	s.ready = func(ctx context.Context) error { return s.answers(ctx, token) }
	err = errors.Join(
		os.MkdirAll(filepath.Join(s.buckets(), readyBucket), 0o755),
		os.WriteFile(filepath.Join(s.buckets(), readyBucket, readyKey), []byte(token), 0o644))
	if err == nil {
		err = s.startOnFreePort()
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// Endpoint is the server's HTTP address.
func (s *S3Server) Endpoint() string { return "http://" + s.addr }

// BucketURL is the gocloud URL of a bucket, which is created when there is none yet. It panics if
// the bucket cannot be created.
func (s *S3Server) BucketURL(bucket string) string {
	if err := os.MkdirAll(s.BucketDir(bucket), 0o755); err != nil {
		panic(err)
	}
	return s.UnmadeBucketURL(bucket)
}

// UnmadeBucketURL is BucketURL for a bucket that is left as it is, missing or not.
func (s *S3Server) UnmadeBucketURL(bucket string) string { return bucketURL(bucket, s.Endpoint()) }

func bucketURL(bucket, endpoint string) string {
	q := url.Values{"endpoint": {endpoint}, "use_path_style": {"true"}, "region": {S3Region}}
	return "s3://" + bucket + "?" + q.Encode()
}

// BucketDir is the folder whose files are the bucket's objects: a test may plant or damage objects
// there.
func (s *S3Server) BucketDir(bucket string) string { return filepath.Join(s.buckets(), bucket) }

// S3Env is the environment, as name=value, in which another process can use any S3Server.
func S3Env() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + S3AccessKey, "AWS_SECRET_ACCESS_KEY=" + S3SecretKey, "AWS_REGION=" + S3Region,
		"AWS_EC2_METADATA_DISABLED=true"}
}

func (s *S3Server) buckets() string { return filepath.Join(s.dir, "buckets") }

// answers reads a token only this server has, so that another test's server, which won a race for
// the port, is not taken for this one.
func (s *S3Server) answers(ctx context.Context, token string) error {
	// A planted file has no checksum, about which AWS's library would complain on standard error.
	bucket, err := blob.OpenBucket(ctx, s.UnmadeBucketURL(readyBucket)+"&response_checksum_validation=when_required")
	if err != nil {
		return err
	}
	defer bucket.Close()
	got, err := bucket.ReadAll(ctx, readyKey)
	if err != nil {
		return err
	}
	if string(got) != token {
		return fmt.Errorf("the S3 server on %s is another one", s.addr)
	}
	return nil
}

var setCredentials = sync.OnceValue(func() error {
	return errors.Join(
		os.Setenv("AWS_ACCESS_KEY_ID", S3AccessKey),
		os.Setenv("AWS_SECRET_ACCESS_KEY", S3SecretKey),
		os.Setenv("AWS_REGION", S3Region),
		os.Setenv("AWS_EC2_METADATA_DISABLED", "true"),
		os.Unsetenv("AWS_SESSION_TOKEN"),
		os.Unsetenv("AWS_PROFILE"))
})
