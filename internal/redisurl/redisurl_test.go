package redisurl_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/redisurl"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]redisurl.URL{
		"redis://h:1/2":                                {Scheme: "redis", Hosts: "h:1", Path: "2"},
		"rediss://u:p@h":                               {Scheme: "rediss", Userinfo: "u:p", Hosts: "h", MayHoldPassword: true},
		"redis://u@h":                                  {Scheme: "redis", Userinfo: "u", Hosts: "h"},
		"unix:///run/redis.sock?db=3":                  {Scheme: "unix", Path: "run/redis.sock", Query: "db=3"},
		"redis-sentinel://a,b:2/1?master=m":            {Scheme: "redis-sentinel", Hosts: "a,b:2", Path: "1", Query: "master=m"},
		"redis://:p/w@h":                               {Scheme: "redis", Hosts: ":p", Path: "w@h", MayHoldPassword: true},
		"redis-sentinel://127.0.0.1:6399/0?master=a@b": {Scheme: "redis-sentinel", Hosts: "127.0.0.1:6399", Path: "0", Query: "master=a@b"},
		"redis://u:12/w@h":                             {Scheme: "redis", Hosts: "u:12", Path: "w@h", MayHoldPassword: true},
		"redis://u:12?w@h":                             {Scheme: "redis", Hosts: "u:12", Query: "w@h", MayHoldPassword: true},
		"redis-cluster://:p%40@[::1]:7,[::2]":          {Scheme: "redis-cluster", Userinfo: ":p%40", Hosts: "[::1]:7,[::2]", MayHoldPassword: true},
	} {
		if got, err := redisurl.Parse(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "h:1", "embedded", "http://h", "redis:/h", "REDIS://h"} {
		if got, err := redisurl.Parse(text); !errors.Is(err, redisurl.ErrScheme) {
			t.Errorf("%q: %+v, %v, want ErrScheme", text, got, err)
		}
	}
}

// TestExplainQuotesNoSecret: what could hold a password is not repeated.
func TestExplainQuotesNoSecret(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"localhost:6379":       "write redis://localhost:6379/0",
		"[::1]:6379":           "write redis://[::1]:6379/0",
		"redis.internal":       "use embedded, or",
		"user:secret@host:1":   "use embedded, or",
		"http://localhost:1":   "use embedded, or",
		"secret":               "use embedded, or",
		"":                     "use embedded, or",
		"localhost:6379\nx: y": "use embedded, or",
	} {
		err := redisurl.Explain(text)
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
