package testservers

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// RedisTLS starts a redis-server that takes TLS on a loopback address of its own, beside plain
// connections on Addr, and returns its address for TLS. Its certificate is for the given name, and
// its clients must show one of the same CA.
func RedisTLS(t testing.TB, ca *CA, ip, name string, args ...string) (server *RedisServer, addr string) {
	t.Helper()
	addr, settings := tlsSettings(t, ca, ip, name)
	for _, s := range settings {
		args = append(args, append([]string{"--" + s[0]}, s[1:]...)...)
	}
	return Redis(t, args...), addr
}

func tlsSettings(t testing.TB, ca *CA, ip, name string) (addr string, settings [][]string) {
	t.Helper()
	free, err := freeAddress()
	must(t, err)
	_, port, _ := net.SplitHostPort(free)
	certificate, key := ca.Issue(t, name)
	return net.JoinHostPort(ip, port), [][]string{
		{"bind", "127.0.0.1", ip}, {"tls-port", port}, {"tls-cert-file", certificate}, {"tls-key-file", key}, {"tls-ca-cert-file", ca.File},
		{"tls-replication", "yes"},
	}
}

// RedisSentinels are three Sentinels that watch over a master and its replica, each of the five
// with an address and a certificate of its own, and all with TLS among each other.
type RedisSentinels struct {
	Master, Replica *RedisServer
	MasterAddr      string   // for TLS
	Addrs           []string // of the Sentinels, for TLS
}

// NewRedisSentinels starts them; they end with the test. The name of the master is "main". The
// Sentinels take it for gone after a second, where by default they wait for thirty.
func NewRedisSentinels(t testing.TB, ca *CA, password, sentinelPassword string) *RedisSentinels {
	t.Helper()
	s := &RedisSentinels{}
	authenticated := []string{"--requirepass", password, "--masterauth", password}
	s.Master, s.MasterAddr = RedisTLS(t, ca, "127.0.1.1", "127.0.1.1", append(authenticated, "--replica-announce-ip", "127.0.1.1")...)
	host, port, _ := net.SplitHostPort(s.MasterAddr)
	s.Replica, _ = RedisTLS(t, ca, "127.0.1.2", "127.0.1.2", append(authenticated, "--replica-announce-ip", "127.0.1.2", "--replicaof", host, port)...)
	for i := range 3 {
		ip := fmt.Sprintf("127.0.1.%d", 3+i)
		addr, settings := tlsSettings(t, ca, ip, ip)
		_, tlsPort, _ := net.SplitHostPort(addr)
		settings = append(settings, [][]string{
			{"requirepass", sentinelPassword}, {"sentinel", "sentinel-pass", sentinelPassword}, {"sentinel", "announce-ip", ip},
			{"sentinel", "announce-port", tlsPort}, {"sentinel", "monitor", "main", host, port, "2"}, {"sentinel", "auth-pass", "main", password},
			{"sentinel", "down-after-milliseconds", "main", "1000"}, {"sentinel", "failover-timeout", "main", "5000"},
		}...)
		startSentinel(t, settings)
		s.Addrs = append(s.Addrs, addr)
	}
	return s
}

func startSentinel(t testing.TB, settings [][]string) {
	t.Helper()
	binary, err := find("redis-server")
	must(t, err)
	dir := t.TempDir()
	s := &RedisServer{server: server{binary: binary, dir: dir}}
	s.args = func(addr string) []string {
		_, port, _ := net.SplitHostPort(addr)
		text := "port " + port + "\n"
		for _, one := range settings {
			text += strings.Join(one, " ") + "\n"
		}
		path := filepath.Join(dir, "sentinel.conf") // which it writes itself, too
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return []string{path, "--sentinel"}
	}
	s.ready = func(ctx context.Context) error {
		client := redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1})
		defer client.Close()
		if err := client.Ping(ctx).Err(); err != nil && !strings.HasPrefix(err.Error(), "NOAUTH") {
			return err
		}
		return nil
	}
	must(t, s.startOnFreePort())
	t.Cleanup(s.Kill)
}
