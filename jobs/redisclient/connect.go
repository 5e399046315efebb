package redisclient

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
)

// connectTimeout bounds the first exchange with the server, so that a wrong address is an answer
// and not a wait.
const connectTimeout = 10 * time.Second

// Connection is a connection to the server that holds the queues.
type Connection struct {
	Client  redis.UniversalClient
	shown   string
	outages *outages
}

// Access says how a Redis is reached.
//
//	redis://[user][:password@]host[:port][/db]          rediss:// is the same with TLS
//	unix://[user][:password@]/path/to/socket[?db=N]
//	redis-sentinel://[user][:password@]host[:port],host…[/db]?master=NAME[&sentinel_user=NAME]
//	redis-cluster://[user][:password@]host[:port],host…
type Access struct {
	URL string
	// Password returns the password as it is now, and is asked for each new connection. Nil: it is
	// in the URL, or there is none. SentinelPassword is that of the Sentinels, if they have one.
	Password, SentinelPassword func() (string, error)
	// TLS is for a URL with TLS; nil: the CAs of the system, and no client certificate.
	TLS *tls.Config
}

// Connect connects to a Redis server, and checks that it answers. It warns when the server may
// evict tasks. No error or log line contains the password.
func (a Access) Connect(ctx context.Context, log zerolog.Logger) (*Connection, error) {
	setLogger.Do(func() { redis.SetLogger(redisLogger{log}) })
	options, shown, err := a.options()
	if err != nil {
		return nil, err
	}
	c := newConnection(options, shown)

	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := c.Client.Ping(ctx).Err(); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("redis at %s does not answer: %w", shown, err)
	}
	c.warnOfEviction(ctx, log)
	return c, nil
}

// newConnection makes a client, which connects when it is first used.
func newConnection(o *redis.UniversalOptions, shown string) *Connection {
	c := &Connection{Client: newClient(o), shown: shown, outages: &outages{}}
	c.Client.AddHook(c.outages)
	return c
}

// warnOfEviction says so when the server would throw tasks away rather than refuse new ones.
// Managed servers often forbid CONFIG; then the operator has to look.
func (c *Connection) warnOfEviction(ctx context.Context, log zerolog.Logger) {
	reply, err := c.Client.ConfigGet(ctx, "maxmemory-policy").Result()
	policy, known := reply["maxmemory-policy"]
	switch {
	case err != nil || !known:
		log.Warn().Str("redis", c.shown).AnErr("cause", err).
			Msg("cannot see redis's maxmemory-policy: make sure it is noeviction")
	case policy != "noeviction":
		log.Warn().Str("redis", c.shown).Str("policy", policy).
			Msg("redis may evict tasks: set maxmemory-policy noeviction")
	}
}

// String returns the server's address without credentials.
func (c *Connection) String() string { return c.shown }

// Close closes the connection.
func (c *Connection) Close() error { return c.Client.Close() }

// setLogger is done once: go-redis has one logger for the process, and reads it unguarded.
var setLogger sync.Once

// redisLogger takes what go-redis would write to standard error: single failed attempts, which come
// back as errors of the calls they are about, too.
type redisLogger struct{ log zerolog.Logger }

func (l redisLogger) Printf(_ context.Context, format string, args ...any) {
	l.log.Debug().Msgf(format, args...)
}
