package farstore

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/internal/wait"
	"golang.org/x/time/rate"
)

// packet is how much is sent at once. It is small enough for connections to share the line evenly.
const packet = 64 << 10

// Line is what lies between a store and its readers. A field that is 0 is no limit.
type Line struct {
	// Latency is how long an answer takes to begin, and a connection to be made.
	Latency time.Duration
	// Connection is how many bytes a second one connection brings, Total all together.
	Connection, Total int64
}

// listener accepts connections over a line.
type listener struct {
	net.Listener
	line Line
	all  *rate.Limiter
}

func listen(l net.Listener, line Line) *listener {
	return &listener{l, line, limiter(line.Total)}
}

func limiter(bytes int64) *rate.Limiter {
	if bytes <= 0 {
		return rate.NewLimiter(rate.Inf, packet)
	}
	// What a sleep that lasted too long has missed is made up for, up to 20 ms.
	return rate.NewLimiter(rate.Limit(bytes), max(packet, int(bytes/50)))
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &connection{Conn: c, line: l, own: limiter(l.line.Connection), ctx: ctx, cancel: cancel}, nil
}

// connection is one over a line. It is slow in one direction, that of the answers.
type connection struct {
	net.Conn
	line   *listener
	own    *rate.Limiter
	made   sync.Once
	ctx    context.Context // ends when it is closed
	cancel context.CancelFunc
}

func (c *connection) Read(p []byte) (int, error) {
	c.made.Do(func() { _ = wait.For(c.ctx, c.line.line.Latency) })
	return c.Conn.Read(p)
}

func (c *connection) Write(p []byte) (n int, err error) {
	for n < len(p) {
		next := p[n:min(n+packet, len(p))]
		now := time.Now()
		due := max(c.own.ReserveN(now, len(next)).DelayFrom(now), c.line.all.ReserveN(now, len(next)).DelayFrom(now))
		if err := wait.For(c.ctx, due); err != nil {
			return n, net.ErrClosed
		}
		k, err := c.Conn.Write(next)
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (c *connection) Close() error {
	c.cancel()
	return c.Conn.Close()
}
