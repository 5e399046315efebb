package main

import (
	"net"
	"net/http"
	"sync"
)

// boundedListener accepts a number of connections at the same time. Where that is reached, the one
// that has been idle for longest makes room: who holds connections open and asks nothing keeps
// nobody out.
type boundedListener struct {
	net.Listener
	slots chan struct{}

	mu   sync.Mutex
	idle []net.Conn // the longest first
}

func newBoundedListener(l net.Listener, limit int) *boundedListener {
	return &boundedListener{Listener: l, slots: make(chan struct{}, limit)}
}

func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	default:
		l.closeIdle()
		l.slots <- struct{}{}
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &countedConn{Conn: conn, l: l}, nil
}

// changed is for http.Server.ConnState.
func (l *boundedListener) changed(conn net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(conn)
	switch {
	case state != http.StateIdle:
	case len(l.slots) == cap(l.slots): // somebody may be waiting for it
		go conn.Close()
	default:
		l.idle = append(l.idle, conn)
	}
}

func (l *boundedListener) forget(conn net.Conn) {
	for i, other := range l.idle {
		if other == conn {
			l.idle = append(l.idle[:i], l.idle[i+1:]...)
			return
		}
	}
}

func (l *boundedListener) closeIdle() {
	l.mu.Lock()
	var conn net.Conn
	if len(l.idle) > 0 {
		conn, l.idle = l.idle[0], l.idle[1:]
	}
	l.mu.Unlock()
	if conn != nil {
		go conn.Close() // which may wait for the client
	}
}

// countedConn gives its slot back when it is closed.
type countedConn struct {
	net.Conn
	l    *boundedListener
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { <-c.l.slots })
	return c.Conn.Close()
}
