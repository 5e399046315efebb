package redisclient

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
)

// ErrUnusable is in the chain of a RefusedError that no waiting ends: a replica, a right that is
// missing.
var ErrUnusable = errors.New("redis is not usable as a queue")

// RefusedError says that Redis answers, and refuses what the queue needs.
type RefusedError struct {
	at      string
	trouble trouble
	cause   error
}

// trouble is why Redis refuses: how its answer begins, one word or few for it, what it means and
// what to do.
type trouble struct {
	answer, brief, means string
	lasts                bool // until somebody changes the configuration
}

const full = "full"

var troubles = []trouble{
	{"READONLY You can't write", "read-only", "it is a replica, which takes no writes: " +
		"give the address of its master, or a redis-sentinel:// URL, which finds it", true},
	{"OOM command not allowed", full, "it has reached its maxmemory: epochs on the queue go on and make room, new ones wait; " +
		"raise maxmemory if that does not help", false},
	{"MISCONF ", "not saving", "it cannot save its data to disk, and takes no writes until it can: see its log, and the room on its disk", false},
	{"NOREPLICAS ", "without replicas", "it has fewer replicas than its min-replicas-to-write", false},
	{"NOPERM ", "forbidden", "its user lacks a right: docs/redis.md has those that are needed", true},
	{"NOAUTH ", "not authenticated", "it wants a password", true},
	{"WRONGPASS ", "not authenticated", "it does not accept the user and password", true},
	{"CLUSTERDOWN ", "incomplete", "the cluster has no master for the queue's slot", false},
	{"LOADING ", "loading", "it is still reading its data from disk", false},
	{"MASTERDOWN ", "without its master", "it is a replica that has lost its master", false},
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("redis at %s is %s: %s (%v)", e.at, e.trouble.brief, e.trouble.means, e.cause)
}

// Brief says it without addresses.
func (e *RefusedError) Brief() string { return e.trouble.brief }

func (e *RefusedError) Unwrap() []error {
	if e.trouble.lasts {
		return []error{e.cause, ErrUnusable}
	}
	return []error{e.cause}
}

// Explain returns a RefusedError for what Redis refused, and other errors as they are.
func (c *Connection) Explain(err error) error {
	if t, refused := troubleOf(err); refused {
		return &RefusedError{c.shown, t, err}
	}
	return err
}

// IsFull reports whether Redis refused something because it has reached its maxmemory.
func IsFull(err error) bool {
	t, refused := troubleOf(err)
	return refused && t.brief == full
}

// troubleOf reads the text, which is all that asynq leaves of an error, and which begins with more
// where a script ran.
func troubleOf(err error) (trouble, bool) {
	if err == nil {
		return trouble{}, false
	}
	if _, explained := errors.AsType[*RefusedError](err); explained {
		return trouble{}, false
	}
	text := err.Error()
	for _, t := range troubles {
		if strings.Contains(text, t.answer) {
			return t, true
		}
	}
	return trouble{}, false
}

// A trouble is over when it has not been met for that long and Redis answers: while a part of a
// cluster is gone the others answer, and reads go on where writes are refused.
const (
	outageQuiet  = 3 * time.Second
	refusedQuiet = time.Minute
)

// unreachable is the trouble of no answer at all.
var unreachable = trouble{brief: "unreachable"}

// outages tells of each trouble with Redis once, and of its end. The zero value tells nobody.
type outages struct {
	open atomic.Int32 // how many there are: nothing is to do while that is none
	last atomic.Int64 // when one was last met, in Unix nanoseconds

	mu    sync.Mutex
	log   *zerolog.Logger
	since map[trouble]*outage
}

type outage struct{ began, last time.Time }

// TellOutages has troubles with Redis logged, one line when each begins and one when it is over.
func (c *Connection) TellOutages(log zerolog.Logger) {
	c.outages.mu.Lock()
	defer c.outages.mu.Unlock()
	c.outages.log = &log
}

// FailedLately reports whether a command failed within the last quarter of a minute, so that what
// others say of Redis now has been said.
func (c *Connection) FailedLately() bool {
	return time.Since(time.Unix(0, c.outages.last.Load())) < 15*time.Second
}

func (*outages) DialHook(next redis.DialHook) redis.DialHook { return next }

func (o *outages) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		o.saw(ctx, err)
		return err
	}
}

func (o *outages) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		o.saw(ctx, err)
		return err
	}
}

// saw takes note of how a command ended.
func (o *outages) saw(ctx context.Context, err error) {
	t, met := troubleOf(err)
	if !met && isUnreachable(ctx, err) {
		t, met = unreachable, true
	}
	if !met && (o.open.Load() == 0 || err != nil && err != redis.Nil) {
		return
	}
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if !met {
		o.end(now)
		return
	}
	o.last.Store(now.UnixNano())
	if known := o.since[t]; known != nil {
		known.last = now
		return
	}
	if o.since == nil {
		o.since = map[trouble]*outage{}
	}
	o.since[t] = &outage{now, now}
	o.open.Add(1)
	switch {
	case o.log == nil:
	case t == unreachable:
		o.log.Warn().AnErr("cause", err).Msg("Redis is unreachable; nothing is lost: " +
			"what is judged goes on record, and the queue is taken up again when Redis answers")
	default:
		o.log.Warn().AnErr("cause", err).Msg("Redis is " + t.brief + ": " + t.means)
	}
}

// end tells of the troubles that are over.
func (o *outages) end(now time.Time) {
	for t, one := range o.since {
		quiet := refusedQuiet
		if t == unreachable {
			quiet = outageQuiet
		}
		if now.Sub(one.last) < quiet {
			continue
		}
		delete(o.since, t)
		o.open.Add(-1)
		if o.log != nil {
			o.log.Info().Stringer("for", one.last.Sub(one.began).Round(time.Second)).Msg("Redis is no longer " + t.brief)
		}
	}
}

// isUnreachable reports whether an error says that there was no answer. That the caller did not
// wait for one, or that all connections were in use, says nothing of Redis.
func isUnreachable(ctx context.Context, err error) bool {
	if _, answered := errors.AsType[redis.Error](err); err == nil || answered || ctx.Err() != nil {
		return false
	}
	return !errors.Is(err, redis.ErrClosed) && !errors.Is(err, redis.ErrPoolTimeout)
}
