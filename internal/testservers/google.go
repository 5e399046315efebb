package testservers

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
)

// emulatorVariable is where Google's library looks for an emulator.
const emulatorVariable = "STORAGE_EMULATOR_HOST"

// GoogleServer is a running emulator of Google Cloud Storage, which keeps objects in memory.
type GoogleServer struct {
	server
}

// google is the one emulator that tests of this process share: Google's library finds it by the
// environment only.
var google struct {
	sync.Mutex
	server *GoogleServer
	users  int
}

// Google starts an emulator of Google Cloud Storage (fake-gcs-server), or returns the one that
// other tests use at the same time. Its address goes into this process's environment.
func Google(t testing.TB) *GoogleServer {
	t.Helper()
	leaveOutIfShort(t)
	google.Lock()
	defer google.Unlock()
	if google.users == 0 {
		s, err := newGoogle()
		must(t, err)
		google.server = s
	}
	google.users++
	t.Cleanup(func() {
		google.Lock()
		defer google.Unlock()
		if google.users--; google.users == 0 {
			if err := google.server.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return google.server
}

func newGoogle() (*GoogleServer, error) {
	binary, err := find("fake-gcs-server")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ktaudit-google-")
	if err != nil {
		return nil, err
	}
	s := &GoogleServer{server{binary: binary, dir: dir}}
	s.args = func(addr string) []string {
		host, port, _ := net.SplitHostPort(addr)
		return []string{"-scheme", "http", "-host", host, "-port", port, "-public-host", addr, "-backend", "memory", "-log-level", "error"}
	}
	// A server of another process, which won a race for the port, would have the bucket.
	token := "ready-" + strings.ToLower(rand.Text())
	s.ready = func(ctx context.Context) error { return s.create(ctx, token) }
	if err := s.startOnFreePort(); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, os.Setenv(emulatorVariable, s.addr)
}

// Env is the environment, as name=value, in which another process uses the server.
func (s *GoogleServer) Env() []string { return []string{emulatorVariable + "=" + s.addr} }

// BucketURL is the gocloud URL of a bucket, which is created when there is none yet. It panics if
// it cannot be created.
func (s *GoogleServer) BucketURL(bucket string) string {
	if err := s.create(context.Background(), bucket); err != nil {
		panic(err)
	}
	return "gs://" + bucket
}

func (s *GoogleServer) create(ctx context.Context, bucket string) error {
	body := strings.NewReader(fmt.Sprintf(`{"name": %q}`, bucket))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.addr+"/storage/v1/b?project=test", body)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusConflict {
		return fmt.Errorf("bucket %s: %s", bucket, answer.Status)
	}
	return nil
}
