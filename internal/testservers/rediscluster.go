package testservers

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisCluster is a cluster of three masters with a replica each.
type RedisCluster struct {
	Nodes []*RedisServer // the masters first
}

// NewRedisCluster starts a cluster that ends with the test. A node counts as gone when it was
// silent for nodeTimeout, which is 15 s by default.
func NewRedisCluster(t testing.TB, nodeTimeout time.Duration) *RedisCluster {
	t.Helper()
	const masters = 3
	c := &RedisCluster{}
	buses := make([]string, 2*masters)
	for i := range buses {
		bus, err := freeAddress()
		must(t, err)
		_, buses[i], _ = net.SplitHostPort(bus)
		c.Nodes = append(c.Nodes, Redis(t, "--cluster-enabled", "yes", "--cluster-port", buses[i],
			"--cluster-node-timeout", fmt.Sprint(nodeTimeout.Milliseconds())))
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	ids := make([]string, len(c.Nodes))
	for i, node := range c.Nodes {
		ids[i] = node.do(t, ctx, "cluster", "myid")
		if i < masters {
			node.do(t, ctx, "cluster", "addslotsrange", 16384*i/masters, 16384*(i+1)/masters-1)
		}
		host, port, _ := net.SplitHostPort(node.Addr())
		c.Nodes[0].do(t, ctx, "cluster", "meet", host, port, buses[i])
	}
	until := func(what string, done func(node *RedisServer) bool) {
		for _, node := range c.Nodes {
			for !done(node) {
				select {
				case <-ctx.Done():
					t.Fatalf("the cluster never came to be: %s: %s", what, node.do(t, t.Context(), "cluster", "nodes"))
				case <-time.After(20 * time.Millisecond):
				}
			}
		}
	}
	until("all know all", func(node *RedisServer) bool {
		return strings.Contains(node.do(t, ctx, "cluster", "info"), fmt.Sprintf("cluster_known_nodes:%d\r\n", len(c.Nodes)))
	})
	for i, node := range c.Nodes[masters:] {
		node.do(t, ctx, "cluster", "replicate", ids[i])
	}
	until("all is well", func(node *RedisServer) bool {
		replicates := strings.Count(node.do(t, ctx, "cluster", "nodes"), "slave ") == masters
		info := node.do(t, ctx, "info", "replication")
		linked := strings.Contains(info, "master_link_status:up") || strings.Contains(info, "connected_slaves:1")
		return replicates && linked && strings.Contains(node.do(t, ctx, "cluster", "info"), "cluster_state:ok")
	})
	return c
}

// URL is the cluster's address as the command line takes it.
func (c *RedisCluster) URL() string {
	var addrs []string
	for _, node := range c.Nodes {
		addrs = append(addrs, node.Addr())
	}
	return "redis-cluster://" + strings.Join(addrs, ",")
}

// MasterOf returns the master that has a key, by what the last node says, and the node that
// replicates it.
func (c *RedisCluster) MasterOf(t testing.TB, key string) (master, replica *RedisServer) {
	t.Helper()
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{c.Nodes[len(c.Nodes)-1].Addr()}})
	defer client.Close()
	node, err := client.MasterForKey(t.Context(), key)
	must(t, err)
	for i, one := range c.Nodes[:len(c.Nodes)/2] {
		if one.Addr() == node.Options().Addr {
			return one, c.Nodes[i+len(c.Nodes)/2]
		}
	}
	t.Fatalf("no master has %s", key)
	return nil, nil
}

// do sends one command and returns its answer as text.
func (s *RedisServer) do(t testing.TB, ctx context.Context, args ...any) string {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1, Password: s.password})
	defer client.Close()
	answer, err := client.Do(ctx, args...).Result()
	must(t, err)
	return fmt.Sprint(answer)
}

// Do sends one command over a connection of its own, as an operator would, also when the test ends,
// and returns its answer as text.
func (s *RedisServer) Do(t testing.TB, args ...any) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return s.do(t, ctx, args...)
}
