package queue

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
)

// Embedded is the Redis URL that stands for a Redis inside this process, which forgets everything
// when it ends.
const Embedded = "embedded"

// connectTimeout bounds the first exchange with the server, so that a wrong address is an answer
// and not a wait.
const connectTimeout = 10 * time.Second

// Redis is a connection to the server that holds the queues.
type Redis struct {
	Client   redis.UniversalClient
	shown    string
	embedded *miniredis.Miniredis
}

// Connect connects to a Redis server, or starts one inside the process for Embedded, and
// checks that it answers. It warns when the server may evict tasks. No error or log line contains
// the password.
//
//	redis://[user][:password@]host[:port][/db]          rediss:// is the same with TLS
//	unix://[user][:password@]/path/to/socket[?db=N]
//	redis-sentinel://[user][:password@]host[:port],host…[/db]?master=NAME
//	redis-cluster://[user][:password@]host[:port],host…
func Connect(ctx context.Context, url string, log zerolog.Logger) (*Redis, error) {
	setLogger.Do(func() { redis.SetLogger(redisLogger{log}) })
	if url == Embedded {
		return startEmbedded()
	}
	options, shown, err := parseRedisURL(url)
	if err != nil {
		return nil, err
	}
	// The slots of a worker share the pool with its heartbeat, on which the leases of its tasks
	// depend.
	options.PoolSize = 32 + 10*runtime.GOMAXPROCS(0)
	r := &Redis{Client: redis.NewUniversalClient(options), shown: shown}

	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := r.Client.Ping(ctx).Err(); err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("redis at %s does not answer: %w", shown, err)
	}
	r.warnOfEviction(ctx, log)
	return r, nil
}

// startEmbedded starts the in-process server. It listens on a loopback port, for asynq speaks to
// sockets only.
func startEmbedded() (*Redis, error) {
	server, err := miniredis.Run()
	if err != nil {
		return nil, fmt.Errorf("embedded redis: %w", err)
	}
	options, _, err := parseRedisURL("redis://" + server.Addr())
	if err != nil {
		server.Close()
		return nil, err
	}
	return &Redis{Client: redis.NewUniversalClient(options), shown: Embedded, embedded: server}, nil
}

// warnOfEviction says so when the server would throw tasks away rather than refuse new ones.
// Managed servers often forbid CONFIG; then the operator has to look.
func (r *Redis) warnOfEviction(ctx context.Context, log zerolog.Logger) {
	reply, err := r.Client.ConfigGet(ctx, "maxmemory-policy").Result()
	policy, known := reply["maxmemory-policy"]
	switch {
	case err != nil || !known:
		log.Warn().Str("redis", r.shown).AnErr("cause", err).
			Msg("cannot see redis's maxmemory-policy: make sure it is noeviction")
	case policy != "noeviction":
		log.Warn().Str("redis", r.shown).Str("policy", policy).
			Msg("redis may evict tasks: set maxmemory-policy noeviction")
	}
}

// String returns the server's address without credentials.
func (r *Redis) String() string { return r.shown }

// IsEmbedded reports whether the server is part of this process, so that nobody else uses it.
func (r *Redis) IsEmbedded() bool { return r.embedded != nil }

// Close closes the connection and ends an embedded server.
func (r *Redis) Close() error {
	err := r.Client.Close()
	if r.embedded != nil {
		r.embedded.Close()
	}
	return err
}

// setLogger is done once: go-redis has one logger for the process, and reads it unguarded.
var setLogger sync.Once

// redisLogger takes what go-redis would write to standard error: single failed attempts, which come
// back as errors of the calls they are about, too.
type redisLogger struct{ log zerolog.Logger }

func (l redisLogger) Printf(_ context.Context, format string, args ...any) {
	l.log.Debug().Msgf(format, args...)
}

func (r *Redis) Inspector() *asynq.Inspector { return asynq.NewInspectorFromRedisClient(r.Client) }
