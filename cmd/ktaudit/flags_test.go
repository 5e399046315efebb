package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ktaudit/ktaudit/internal/config"
)

func TestRedisURL(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("p@ss/w:rd\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, url, file, environment, want string
	}{
		{"as given", "redis://localhost:6379/0", "", "", "redis://localhost:6379/0"},
		{"embedded", "embedded", "", "secret", "embedded"},
		{"from the environment", "redis://localhost:6379/0", "", "secret", "redis://:secret@localhost:6379/0"},
		{"from a file", "rediss://audit@localhost/1", file, "secret", "rediss://audit:p%40ss%2Fw%3Ard@localhost/1"},
		{"in a URL from the environment", "redis://audit:secret@localhost", "", "", "redis://audit:secret@localhost"},
		{"several hosts", "redis-sentinel://a:1,b:2/0?master=m", "", "secret", "redis-sentinel://:secret@a:1,b:2/0?master=m"},
		{"socket", "unix:///run/redis.sock?db=1", "", "secret", "unix://:secret@/run/redis.sock?db=1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("KTAUDIT_REDIS_PASSWORD", test.environment)
			got, err := queueFlags{Redis: test.url, RedisPasswordFile: test.file}.url()
			if err != nil || got != test.want {
				t.Errorf("url() = %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestByteSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]byteSize{
		"1": 1, "4096": 4096, "3KiB": 3 << 10, "512MiB": 512 << 20, "4 GiB": 4 << 30, "2TiB": 2 << 40,
		" 64 MiB": 64 << 20, "512MiB ": 512 << 20, "+1073741824": 1 << 30, "+": 0, "++1": 0, " ": 0,
		"": 0, "0": 0, "-1": 0, "1GB": 0, "1.5GiB": 0, "GiB": 0, "9999999TiB": 0, "9223372036854775808": 0,
	} {
		var got byteSize
		err := got.UnmarshalText([]byte(text))
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q is read as %d, error %v, want %d", text, got, err, want)
		}
	}
}

func TestArchiveFlagGoesBeforeConfiguration(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for _, test := range []struct {
		name   string
		flag   *bool
		config bool
		want   bool
	}{
		{"flag left out", nil, true, true},
		{"flag left out, and no archive", nil, false, false},
		{"--archive", &yes, false, true},
		{"--archive=false", &no, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := auditFlags{Archive: test.flag}
			f.fill(&config.Config{}, config.Namespace{Archive: test.config})
			if *f.Archive != test.want {
				t.Errorf("archive is %v, want %v", *f.Archive, test.want)
			}
		})
	}
}
