package redisclient

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/internal/tlsfiles"
	"github.com/rs/zerolog"
)

func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func static(password string) func() (string, error) {
	return func() (string, error) { return password, nil }
}

// clientTLS is a client's configuration with a certificate of a CA's own.
func clientTLS(t *testing.T, ca *testservers.CA, serverName string) *tls.Config {
	t.Helper()
	certificate, key := ca.Issue(t, "client")
	return must[*tls.Config](t)(tlsfiles.Files{CA: ca.File, Certificate: certificate, Key: key, ServerName: serverName}.Config())
}

// The master dies behind Sentinels that have a password of their own. All speak TLS, each with a
// certificate for nothing but its own address, and the connection goes on with the new master.
func TestSentinelFailoverWithTLS(t *testing.T) {
	t.Parallel()
	ca := testservers.NewCA(t)
	servers := testservers.NewRedisSentinels(t, ca, "hunter2", "hunter3")
	access := Access{
		URL: "rediss-sentinel://" + strings.Join(servers.Addrs, ",") + "/0?master=main", TLS: clientTLS(t, ca, ""),
		Password: static("hunter2"), SentinelPassword: static("hunter3"),
	}
	c := must[*Connection](t)(access.Connect(t.Context(), zerolog.Nop()))
	defer c.Close()
	must[string](t)(c.Client.Set(t.Context(), "key", "before", 0).Result())
	eventually(t, "the replica has it", func() bool { return strings.Contains(servers.Replica.Do(t, "info", "keyspace"), "keys=1") })

	servers.Master.Kill()
	killed := time.Now()
	eventually(t, "another master", func() bool { return c.Client.Set(t.Context(), "key", "after", 0).Err() == nil })
	t.Logf("written to again %s after the master died, of which the Sentinels take one second to believe it", time.Since(killed).Round(100*time.Millisecond))
	if got := servers.Replica.Do(t, "get", "key"); got != "after" {
		t.Errorf("the new master has %q", got)
	}

	access.SentinelPassword = static("wrong")
	if _, err := access.Connect(t.Context(), zerolog.Nop()); err == nil || strings.Contains(err.Error(), "hunter") {
		t.Errorf("with a wrong password of the Sentinels: %v", err)
	}
}

// The Sentinels' password is shown to Sentinels only, here under a user of theirs. Redis, which has
// the same one, does not get it.
func TestSentinelPasswordIsForSentinels(t *testing.T) {
	t.Parallel()
	ca := testservers.NewCA(t)
	servers := testservers.NewRedisSentinels(t, ca, "hunter2", "hunter2")
	access := Access{
		URL: "rediss-sentinel://" + strings.Join(servers.Addrs, ",") + "/0?master=main&sentinel_user=default", TLS: clientTLS(t, ca, ""),
		SentinelPassword: static("hunter2"),
	}
	if _, err := access.Connect(t.Context(), zerolog.Nop()); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("without the password of Redis: %v", err)
	}
	access.Password = static("hunter2")
	c := must[*Connection](t)(access.Connect(t.Context(), zerolog.Nop()))
	defer c.Close()
	must[string](t)(c.Client.Set(t.Context(), "key", "value", 0).Result())
}

// A server is believed under its own name only, and asks for a client certificate.
func TestTLS(t *testing.T) {
	t.Parallel()
	ca, other := testservers.NewCA(t), testservers.NewCA(t)
	_, good := testservers.RedisTLS(t, ca, "127.0.1.6", "127.0.1.6")
	_, elsewhere := testservers.RedisTLS(t, ca, "127.0.1.7", "redis.example")
	for name, test := range map[string]struct {
		url  string
		tls  *tls.Config
		want string // part of the error
	}{
		"its own name":          {"rediss://" + good, clientTLS(t, ca, ""), ""},
		"another's name":        {"rediss://" + elsewhere, clientTLS(t, ca, ""), "127.0.1.7"},
		"the name given":        {"rediss://" + elsewhere, clientTLS(t, ca, "redis.example"), ""},
		"another CA":            {"rediss://" + good, clientTLS(t, other, ""), "unknown authority"},
		"the system's CAs":      {"rediss://" + good, nil, "unknown authority"},
		"no client certificate": {"rediss://" + good, must[*tls.Config](t)(tlsfiles.Files{CA: ca.File}.Config()), "certificate required"},
		"without TLS":           {"redis://" + good, clientTLS(t, ca, ""), "use rediss://"},
	} {
		c, err := Access{URL: test.url, TLS: test.tls}.Connect(t.Context(), zerolog.Nop())
		if err == nil {
			_ = c.Close()
		}
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// What makes no sense together is refused before anything is connected to.
func TestAccessRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		access Access
		want   string
	}{
		"a password of Sentinels without them":     {Access{URL: "redis://h", SentinelPassword: static("p")}, "redis-sentinel://"},
		"a user of Sentinels without a password":   {Access{URL: "redis-sentinel://h?master=m&sentinel_user=u"}, "only together"},
		"TLS on a socket":                          {Access{URL: "unix:///s", TLS: &tls.Config{}}, "no effect"},
		"a user of Sentinels where there are none": {Access{URL: "redis://h?sentinel_user=u"}, "unknown parameter"},
	} {
		if _, err := test.access.Connect(t.Context(), zerolog.Nop()); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// A new password is shown by the next connection; those that there are go on.
func TestPasswordOfNow(t *testing.T) {
	t.Parallel()
	server := testservers.Redis(t)
	server.Do(t, "acl", "setuser", "audit", "on", ">first", "~*", "&*", "+@all")
	password := make(chan string, 1)
	password <- "first"
	now := func() (string, error) {
		p := <-password
		password <- p
		return p, nil
	}
	c := must[*Connection](t)(Access{URL: "redis://audit:ignored@" + server.Addr(), Password: now}.Connect(t.Context(), zerolog.Nop()))
	defer c.Close()
	server.Do(t, "acl", "setuser", "audit", "resetpass", ">second")
	if err := c.Client.Set(t.Context(), "key", 1, 0).Err(); err != nil {
		t.Errorf("a connection from before: %v", err)
	}
	kill := func() { server.Do(t, "client", "kill", "user", "audit") }
	kill()
	if err := c.Client.Set(t.Context(), "key", 1, 0).Err(); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("a new connection with the old password: %v", err)
	}
	<-password
	password <- "second"
	if err := c.Client.Set(t.Context(), "key", 1, 0).Err(); err != nil {
		t.Errorf("with the new password: %v", err)
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}
