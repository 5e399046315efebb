package main

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// boundedListener accepts a number of connections at the same time. Where that is reached, the one
// that has been idle for longest makes room: who holds connections open and asks nothing keeps
// nobody out. Nor does one address that has as many as one may have: its next ones are closed.
type boundedListener struct {
	net.Listener
	slots      chan struct{}
	perAddress int

	mu   sync.Mutex
	idle []net.Conn // the longest first
	from map[netip.Prefix]int
}

func newBoundedListener(l net.Listener, limit, perAddress int) *boundedListener {
	return &boundedListener{Listener: l, slots: make(chan struct{}, limit), perAddress: perAddress, from: map[netip.Prefix]int{}}
}

func (l *boundedListener) Accept() (net.Conn, error) {
	for {
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
		from := addressOf(conn)
		if l.enter(from) {
			return &countedConn{Conn: conn, l: l, from: from}, nil
		}
		<-l.slots
		_ = conn.Close()
	}
}

// addressOf is where a connection comes from: with IPv6, where one host has many addresses, the
// network.
func addressOf(conn net.Conn) netip.Prefix {
	at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Prefix{}
	}
	address, bits := at.Addr().Unmap(), 64
	if address.Is4() {
		bits = 32
	}
	from, _ := address.WithZone("").Prefix(bits)
	return from
}

// enter counts a connection, unless there are as many from there as may be.
func (l *boundedListener) enter(from netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.from[from] >= l.perAddress {
		return false
	}
	l.from[from]++
	return true
}

func (l *boundedListener) leave(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.from[from]--; l.from[from] == 0 {
		delete(l.from, from)
	}
	<-l.slots
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
	from netip.Prefix
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.l.leave(c.from) })
	return c.Conn.Close()
}
