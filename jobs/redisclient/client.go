package redisclient

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// reloadEvery is how often a cluster is asked where its slots are. What go-redis does by
	// default, once a minute and not after a refused connection, costs a worker that minute when a
	// master dies.
	reloadEvery = 2 * time.Second
	// A host that is gone does not refuse connections, it swallows them.
	dialTimeout = 3 * time.Second
)

// options returns the options of a client, and the URL without credentials.
func (a Access) options() (*redis.UniversalOptions, string, error) {
	o, shown, err := parseRedisURL(a.URL)
	if err != nil {
		return nil, "", err
	}
	// The slots of a worker share the pool with its heartbeat, on which the leases of its tasks
	// depend.
	o.PoolSize = 32 + 10*runtime.GOMAXPROCS(0)
	o.DialTimeout, o.DialerRetries = dialTimeout, 1
	switch {
	case a.TLS != nil && o.TLSConfig != nil:
		o.TLSConfig = a.TLS
	case a.TLS != nil:
		return nil, "", errors.New("redis URL: settings of TLS have no effect without TLS: use rediss://, rediss-sentinel:// or rediss-cluster://")
	}
	if a.Password != nil {
		user := o.Username
		o.CredentialsProviderContext = func(context.Context) (string, string, error) {
			password, err := a.Password()
			return user, password, err
		}
	}
	switch {
	case o.MasterName != "" && a.SentinelPassword != nil:
		o.OnConnect = authenticateSentinel(o.SentinelUsername, a.SentinelPassword)
		o.SentinelUsername = ""
	case a.SentinelPassword != nil || o.SentinelUsername != "":
		return nil, "", errors.New("redis URL: sentinels have a user and a password of their own only together, with redis-sentinel:// or rediss-sentinel://")
	}
	return o, shown, nil
}

// authenticateSentinel returns what is done on each new connection: on one to a Sentinel, which
// go-redis gives one password for ever, the password as it is now is shown. It is not shown to
// Redis itself, which go-redis calls FailoverClient and has given its own by then.
func authenticateSentinel(user string, password func() (string, error)) func(context.Context, *redis.Conn) error {
	return func(ctx context.Context, c *redis.Conn) error {
		if strings.Contains(c.String(), "FailoverClient") {
			return nil
		}
		if err := c.Ping(ctx).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOAUTH") {
			return nil // what else is wrong shows when the connection is used
		}
		secret, err := password()
		switch {
		case err != nil:
			return err
		case user != "":
			return c.AuthACL(ctx, user, secret).Err()
		}
		return c.Auth(ctx, secret).Err()
	}
}

// newClient is redis.NewUniversalClient, which does not take reloadEvery.
func newClient(o *redis.UniversalOptions) redis.UniversalClient {
	if !o.IsClusterMode {
		return redis.NewUniversalClient(o)
	}
	c := o.Cluster()
	c.ClusterStateReloadInterval = reloadEvery
	return redis.NewClusterClient(c)
}
