package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/rs/zerolog"
)

// limitedRedis starts a Redis and returns a URL with the user that docs/redis.md makes, who has no
// right that it does not name. The test fails if one was missing.
func limitedRedis(t *testing.T) (url string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^ACL SETUSER ktaudit on >PASSWORD .*$`).FindString(string(text))
	if line == "" {
		t.Fatal("docs/redis.md has no line with the rights")
	}
	var args []any
	for _, word := range strings.Fields(strings.ReplaceAll(line, "PASSWORD", "hunter2")) {
		args = append(args, word)
	}
	server := testservers.Redis(t)
	server.Do(t, args...)
	t.Cleanup(func() {
		if refused := server.Do(t, "acl", "log"); refused != "[]" {
			t.Errorf("rights are missing: %s", refused)
		}
	})
	return "redis://ktaudit:hunter2@" + server.Addr() + "/0"
}

// The password comes from the first place that has one, and from nowhere for the Redis inside.
func TestRedisAccess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("p@ss/w:rd\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KTAUDIT_TEST_SECRET", "from the variable")
	inFile := &config.Config{RedisPasswordFile: file, RedisSentinelPasswordFile: file}
	inVariable := &config.Config{RedisPasswordEnv: "KTAUDIT_TEST_SECRET", RedisTLS: config.TLS{CAFile: "none"}}
	for _, test := range []struct {
		name        string
		flags       queueFlags
		environment string
		want, err   string // the password, or part of the error
	}{
		{"none", queueFlags{Redis: "redis://localhost:6379/0"}, "", "", ""},
		{"embedded", queueFlags{Redis: "embedded"}, "secret", "", ""},
		{"from the environment", queueFlags{Redis: "redis://localhost"}, "secret", "secret", ""},
		{"from a flag's file", queueFlags{Redis: "rediss://audit@localhost/1", RedisPasswordFile: file}, "secret", "p@ss/w:rd", ""},
		{"from a configured file", queueFlags{Redis: "redis://localhost", settings: inFile}, "", "p@ss/w:rd", ""},
		{"from a configured variable", queueFlags{Redis: "redis://localhost", settings: inVariable}, "", "from the variable", ""},
		{"from the environment before the configuration", queueFlags{Redis: "redis://localhost", settings: inFile}, "secret", "secret", ""},
		{"no such file", queueFlags{Redis: "redis://localhost", RedisPasswordFile: "none"}, "", "", "--redis-password-file: open none"},
		{"an empty variable", queueFlags{Redis: "redis://localhost", settings: &config.Config{RedisPasswordEnv: "KTAUDIT_TEST_NONE"}}, "", "", "KTAUDIT_TEST_NONE is empty"},
		{"TLS without TLS", queueFlags{Redis: "redis://localhost", RedisServerName: "a"}, "", "", "no effect with redis://"},
		{"a CA file that is not there", queueFlags{Redis: "rediss://localhost", settings: inVariable}, "", "", "redis_tls: CA certificates in PEM: open none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("KTAUDIT_REDIS_PASSWORD", test.environment)
			access, err := test.flags.access(zerolog.Nop())
			got := ""
			if err == nil && access.Password != nil {
				got, err = access.Password()
			}
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) || got != test.want {
				t.Errorf("%q, %v, want %q, %q", got, err, test.want, test.err)
			}
		})
	}
	access, err := queueFlags{Redis: "redis-sentinel://a:1,b:2/0?master=m", settings: inFile}.access(zerolog.Nop())
	if err != nil || access.SentinelPassword == nil {
		t.Fatalf("no password of the Sentinels: %v", err)
	}
	if got, err := access.SentinelPassword(); got != "p@ss/w:rd" || err != nil {
		t.Errorf("Sentinels: %q, %v", got, err)
	}
}

// A password is changed in Redis and in its file, and connections are cut: all goes on without a
// restart.
func TestRedisPasswordRotates(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		if err := errors.Join(os.WriteFile(file+".new", []byte(password+"\n"), 0o600), os.Rename(file+".new", file)); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	server := testservers.Redis(t)
	server.Do(t, "acl", "setuser", "audit", "on", ">first", "~*", "&*", "+@all")
	redis, err := queueFlags{Redis: "redis://audit@" + server.Addr(), RedisPasswordFile: file}.connect(t.Context(), &app{log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer redis.Close()
	probe := func() error { return redis.Probe(t.Context(), "example") }
	server.Do(t, "acl", "setuser", "audit", "resetpass", ">second")
	if err := probe(); err != nil {
		t.Errorf("a connection from before: %v", err)
	}
	server.Do(t, "client", "kill", "user", "audit")
	if err := probe(); err == nil || !strings.Contains(err.Error(), "not authenticated") {
		t.Errorf("with the old password: %v", err)
	}
	write("second")
	jobstest.Eventually(t, "the new password is read", func() bool { return probe() == nil })
	write("") // half written, or a mistake: the last one stays
	server.Do(t, "client", "kill", "user", "audit")
	if err := probe(); err != nil {
		t.Errorf("with an empty file: %v", err)
	}
}

// A replica takes no epochs: who is to enqueue them, or to work on them, is told so in a line.
func TestReplicaIsRefused(t *testing.T) {
	t.Parallel()
	a := newAudited(t, "3")
	master := testservers.Redis(t)
	host, port, _ := net.SplitHostPort(master.Addr())
	replica := testservers.Redis(t, "--replicaof", host, port)
	jobstest.Eventually(t, "the replica has caught up", func() bool {
		return strings.Contains(replica.Do(t, "info", "replication"), "master_link_status:up")
	})
	a.configure(newReceiver(t))
	for _, args := range [][]string{{"enqueue", "--from", "1", "--to", "3"}, {"worker"}, {"scheduler"}} {
		a.exits(2, "it is a replica", append(args, "--redis", replica.URL())...)
	}
}
