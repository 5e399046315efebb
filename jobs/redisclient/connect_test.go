package redisclient

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
)

func TestParseRedisURL(t *testing.T) {
	t.Parallel()
	type options struct {
		Addrs              []string
		Username, Password string
		DB                 int
		Master             string
		Cluster, TLS       bool
	}
	for url, want := range map[string]struct {
		options options
		shown   string
	}{
		"redis://localhost": {options{Addrs: []string{"localhost:6379"}}, "redis://localhost"},
		"redis://anna:s%40crt%2F@h:1/3": {
			options{Addrs: []string{"h:1"}, Username: "anna", Password: "s@crt/", DB: 3}, "redis://h:1/3"},
		"redis://:pw@h/":              {options{Addrs: []string{"h:6379"}, Password: "pw"}, "redis://h"},
		"redis://[::1]:7/1":           {options{Addrs: []string{"[::1]:7"}, DB: 1}, "redis://[::1]:7/1"},
		"redis://[::1]":               {options{Addrs: []string{"[::1]:6379"}}, "redis://[::1]"},
		"rediss://u:p@h:2":            {options{Addrs: []string{"h:2"}, Username: "u", Password: "p", TLS: true}, "rediss://h:2"},
		"unix:///run/redis.sock?db=4": {options{Addrs: []string{"/run/redis.sock"}, DB: 4}, "unix:///run/redis.sock"},
		"unix://u:p@/run/redis.sock":  {options{Addrs: []string{"/run/redis.sock"}, Username: "u", Password: "p"}, "unix:///run/redis.sock"},
		"redis-sentinel://:p@a,b:9/2?master=m": {
			options{Addrs: []string{"a:26379", "b:9"}, Password: "p", DB: 2, Master: "m"}, "redis-sentinel://a,b:9/2"},
		"redis-cluster://a:1,b:2":  {options{Addrs: []string{"a:1", "b:2"}, Cluster: true}, "redis-cluster://a:1,b:2"},
		"rediss-cluster://u:p@a:1": {options{Addrs: []string{"a:1"}, Username: "u", Password: "p", Cluster: true, TLS: true}, "rediss-cluster://a:1"},
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			o, shown, err := parseRedisURL(url)
			if err != nil {
				t.Fatal(err)
			}
			got := options{o.Addrs, o.Username, o.Password, o.DB, o.MasterName, o.IsClusterMode, o.TLSConfig != nil}
			if diff := cmp.Diff(want.options, got); diff != "" {
				t.Errorf("options differ (-want +got):\n%s", diff)
			}
			if shown != want.shown {
				t.Errorf("shown as %q, want %q", shown, want.shown)
			}
		})
	}
}

func TestParseRedisURLRefuses(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"":                                 "a URL that begins with",
		"http://secret@h":                  "a URL that begins with",
		"redis:h":                          "a URL that begins with",
		"redis://":                         "no host",
		"redis://u:secret@":                "no host",
		"redis://u:se%cret@h":              "% that does not begin an escape",
		"redis://u:secret/secret@h":        "percent-encoded",
		"redis://u:secret@h:port":          "percent-encoded",
		"redis://u:secret@h/secret":        "must be a number",
		"redis://u:secret@h/-1":            "must be a number",
		"redis://u:secret@h?bd=1":          `unknown parameter "bd"`,
		"redis://u:secret@h?db=1":          `unknown parameter "db"`,
		"redis://u:secret@a,b":             "takes one host",
		"unix://u:secret@host/x":           "absolute path",
		"unix://":                          "absolute path",
		"redis-sentinel://u:secret@a":      "needs ?master=NAME",
		"redis-cluster://u:secret@a/1":     "only database 0",
		"redis-cluster://u:secret@a?%zz=1": "name=value",
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			_, _, err := parseRedisURL(url)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("error is %v, want one that says %q", err, want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("error shows the password: %v", err)
			}
		})
	}
}

func TestConnectRedisSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	_ = listener.Close()

	server := testservers.Redis(t)
	admin := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer admin.Close()
	if err := admin.ConfigSet(t.Context(), "requirepass", "secret-right").Err(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for url, want := range map[string]string{
		"redis://u:secret-wrong@" + closed:       closed,
		"redis://:secret-wrong@" + server.Addr(): "WRONGPASS",
		"redis://" + server.Addr():               "NOAUTH",
	} {
		_, err := connect(ctx, url, zerolog.Nop())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error for %s is %v, want one that says %q", url, err, want)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("error shows the password: %v", err)
		}
	}
	r, err := connect(ctx, "redis://:secret-right@"+server.Addr(), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestConnectRedisEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := connect(ctx, "redis://127.0.0.1:1", zerolog.Nop()); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled", err)
	}
}

func TestConnectRedisWarnsOfEviction(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, policy string
		forbid       bool
		want         string
	}{
		{"noeviction", "noeviction", false, ""},
		{"allkeys-lru", "allkeys-lru", false, "redis may evict tasks"},
		{"config forbidden", "noeviction", true, "cannot see redis's maxmemory-policy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := testservers.Redis(t, "--maxmemory-policy", c.policy)
			url := server.URL()
			if c.forbid {
				admin := redis.NewClient(&redis.Options{Addr: server.Addr()})
				defer admin.Close()
				if err := admin.Do(t.Context(), "ACL", "SETUSER", "worker", "on", ">pw", "~*", "+@all", "-config").Err(); err != nil {
					t.Fatal(err)
				}
				url = "redis://worker:pw@" + server.Addr()
			}
			var log bytes.Buffer
			r, err := connect(t.Context(), url, zerolog.New(&log))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if got := log.String(); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("logged %q, want %q", got, c.want)
			}
		})
	}
}

func connect(ctx context.Context, url string, log zerolog.Logger) (*Connection, error) {
	return Access{URL: url}.Connect(ctx, log)
}
