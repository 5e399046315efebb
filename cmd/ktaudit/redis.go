package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/redisurl"
	"github.com/ktaudit/ktaudit/internal/reload"
	"github.com/ktaudit/ktaudit/internal/secret"
	"github.com/ktaudit/ktaudit/internal/tlsfiles"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/queue/inprocess"
	"github.com/ktaudit/ktaudit/jobs/redisclient"
	"github.com/ktaudit/ktaudit/jobs/schedule"
	"github.com/ktaudit/ktaudit/jobs/worker"
	"github.com/rs/zerolog"
)

// queueFlags are where the queue is.
type queueFlags struct {
	Redis                     string `group:"queue" placeholder:"URL" help:"Redis that holds the queue, such as redis://localhost:6379/0. For ktaudit run it may be embedded, which is the default: a queue inside the process, without Redis."`
	RedisPasswordFile         string `group:"queue" type:"existingfile" placeholder:"FILE" help:"File that holds the password of Redis. KTAUDIT_REDIS_PASSWORD may hold it instead."`
	RedisSentinelPasswordFile string `group:"queue" type:"existingfile" placeholder:"FILE" help:"The same for Sentinels that have a password of their own. KTAUDIT_REDIS_SENTINEL_PASSWORD may hold it instead."`
	RedisCA                   string `name:"redis-ca" group:"queue" type:"existingfile" placeholder:"FILE" help:"CAs that the certificate of a rediss:// server may be from, in PEM. By default those of the system."`
	RedisCertificate          string `group:"queue" type:"existingfile" placeholder:"FILE" help:"Client certificate for Redis, in PEM."`
	RedisCertificateKey       string `group:"queue" type:"existingfile" placeholder:"FILE" help:"Its key, in PEM."`
	RedisServerName           string `group:"queue" placeholder:"NAME" help:"Name in the certificate of Redis, if it is not the one in the URL."`

	settings *config.Config // where else all this may be; nil if nowhere
	at       string         // where the file gives Redis, if that does
}

// Where the passwords may be beside files.
const (
	redisPasswordVariable         = "KTAUDIT_REDIS_PASSWORD"
	redisSentinelPasswordVariable = "KTAUDIT_REDIS_SENTINEL_PASSWORD"
)

// access returns how the queue's Redis is reached.
func (f queueFlags) access(log zerolog.Logger) (redisclient.Access, error) {
	settings := f.settings
	if settings == nil {
		settings = &config.Config{}
	}
	access := redisclient.Access{URL: f.Redis}
	u, err := redisurl.Parse(f.Redis)
	if err != nil {
		return access, nil // embedded, or an error for queue to report
	}
	if u.MayHoldPassword && onCommandLine(f.Redis) {
		return access, errors.New("--redis contains a password, which every user of this machine can read: " +
			"put the URL into KTAUDIT_REDIS, or the password into KTAUDIT_REDIS_PASSWORD or a file for --redis-password-file")
	}
	access.Password, err = redisSecret{"redis_password", f.RedisPasswordFile, redisPasswordVariable,
		settings.RedisPasswordFile, settings.RedisPasswordEnv}.read(log)
	if err == nil && strings.HasSuffix(u.Scheme, "-sentinel") {
		access.SentinelPassword, err = redisSecret{"redis_sentinel_password", f.RedisSentinelPasswordFile, redisSentinelPasswordVariable,
			settings.RedisSentinelPasswordFile, settings.RedisSentinelPasswordEnv}.read(log)
	}
	if err != nil {
		return access, err
	}
	given := tlsfiles.Files{CA: f.RedisCA, Certificate: f.RedisCertificate, Key: f.RedisCertificateKey, ServerName: f.RedisServerName}
	switch {
	case !u.IsTLS() && given != tlsfiles.Files{}:
		return access, fmt.Errorf("--redis-ca, --redis-certificate and --redis-server-name have no effect with %s://, which is without TLS: use rediss://, rediss-sentinel:// or rediss-cluster://", u.Scheme)
	case !u.IsTLS():
		return access, nil
	}
	files := settings.RedisTLS.Files()
	if given.Certificate != "" || given.Key != "" {
		files.Certificate, files.Key = given.Certificate, given.Key
	}
	files.CA, files.ServerName = cmp.Or(given.CA, files.CA), cmp.Or(given.ServerName, files.ServerName)
	if access.TLS, err = files.Config(); err != nil {
		return access, fmt.Errorf("redis_tls: %w", err)
	}
	return access, nil
}

// redisSecret is where a password may be, in the order in which it is looked for.
type redisSecret struct{ what, flagFile, variable, file, env string }

// read returns how to get the password, which is as of now for one in a file; nil if there is none.
func (s redisSecret) read(log zerolog.Logger) (func() (string, error), error) {
	file, what := s.flagFile, "--"+strings.ReplaceAll(s.what, "_", "-")+"-file"
	if file == "" && os.Getenv(s.variable) == "" {
		file, what = s.file, s.what+"_file"
	}
	if file == "" {
		password := os.Getenv(s.variable)
		if password == "" {
			var err error
			if password, err = secret.Read(s.what, "", s.env); err != nil || password == "" {
				return nil, err
			}
		}
		return func() (string, error) { return password, nil }, nil
	}
	failed := func(err error) {
		log.Error().Err(err).Msg("a changed password file of Redis cannot be read: the old password stays in use")
	}
	files, err := reload.New(func([][]byte) (string, error) { return secret.ReadFile(file) }, failed, file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return func() (string, error) {
		password, _ := files.Get() // the last good one
		return password, nil
	}, nil
}

func onCommandLine(s string) bool {
	for _, arg := range os.Args[1:] {
		if strings.HasSuffix(arg, s) {
			return true
		}
	}
	return false
}

// workList is what run needs of a queue, in this process or in a Redis.
type workList interface {
	worker.Queue
	schedule.Queue
	ReadCounts(namespaces ...string) ([]queue.Counts, error)
	LiveWorkers(namespaces ...string) (map[string]int, error)
	Probe(ctx context.Context, namespaces ...string) error
	Close() error
}

// openQueue opens the queue of some logs, wherever it is.
func (f queueFlags) openQueue(ctx context.Context, a *app, namespaces []string) (workList, error) {
	if f.Redis == queue.Embedded {
		return inprocess.New(), nil
	}
	r, err := f.connect(ctx, a)
	if err != nil {
		return nil, err
	}
	if err := f.use(ctx, a, r, namespaces); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// connect connects to the queue's Redis.
func (f queueFlags) connect(ctx context.Context, a *app) (*queue.Redis, error) {
	access, err := f.access(a.log)
	if err != nil {
		return nil, err
	}
	r, err := queue.Open(ctx, access, a.log)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cmp.Or(f.at, "--redis"), err)
	}
	return r, nil
}

// connectShared is connect for commands whose queue must outlive them.
func (f queueFlags) connectShared(ctx context.Context, a *app) (*queue.Redis, error) {
	switch f.Redis {
	case "":
		return nil, errors.New("--redis is missing: give the URL of the Redis that holds the queue, such as redis://localhost:6379/0")
	case queue.Embedded:
		return nil, fmt.Errorf("%s: it is embedded, as it is where nothing is said, and no other process sees such a queue: give the URL of a Redis, or use ktaudit run", cmp.Or(f.at, "--redis"))
	}
	return f.connect(ctx, a)
}

// use tells of troubles with a Redis from now on, and refuses one that no waiting makes fit for the
// queues of some logs. A full one is fit: workers drain it.
func (f queueFlags) use(ctx context.Context, a *app, r *queue.Redis, namespaces []string) error {
	r.TellOutages(a.log)
	if err := r.Probe(ctx, namespaces...); errors.Is(err, redisclient.ErrUnusable) {
		return fmt.Errorf("%s: %w", cmp.Or(f.at, "--redis"), err)
	}
	return nil
}
