package testservers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"
)

// RedisServer is a running redis-server. Without arguments that say otherwise it persists nothing:
// Stop and Kill lose its data.
type RedisServer struct {
	server
	password string // of the requirepass that it was started with
}

// Redis starts a redis-server that ends with the test. Args are added to its command line, for
// example "--appendonly", "yes" to keep the data from one start to the next.
func Redis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	leaveOutIfShort(t)
	s, err := NewRedis(args...)
	must(t, err)
	s.closeWith(t)
	return s
}

// NewRedis is Redis for programs that are not tests. The caller must call Close.
func NewRedis(args ...string) (*RedisServer, error) {
	binary, err := find("redis-server")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ktaudit-redis-")
	if err != nil {
		return nil, err
	}
	s := &RedisServer{server: server{binary: binary, dir: dir}}
	if i := slices.Index(args, "--requirepass"); i >= 0 {
		s.password = args[i+1]
	}
	s.args = func(addr string) []string {
		_, port, _ := net.SplitHostPort(addr)
		return append([]string{"--bind", "127.0.0.1", "--port", port, "--dir", dir,
			"--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"}, args...)
	}
	s.ready = s.answers
	if err := s.startOnFreePort(); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// Addr is the server's host:port.
func (s *RedisServer) Addr() string { return s.addr }

// URL is the server's address as the command line takes it.
func (s *RedisServer) URL() string { return "redis://" + s.addr + "/0" }

// Lose kills the server and takes its data away, whatever it persists.
func (s *RedisServer) Lose() error {
	s.Kill()
	entries, err := os.ReadDir(s.dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(s.dir, e.Name())))
	}
	return err
}

// answers compares the directory, so that another test's server, which won a race for the port, is
// not taken for this one.
func (s *RedisServer) answers(ctx context.Context) error {
	client := redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1, Password: s.password})
	defer client.Close()
	reply, err := client.ConfigGet(ctx, "dir").Result()
	if err != nil {
		return err
	}
	if reply["dir"] != s.dir {
		return fmt.Errorf("redis on %s serves %q, not %q", s.addr, reply["dir"], s.dir)
	}
	return client.Ping(ctx).Err() // which fails while it is still loading its data
}
