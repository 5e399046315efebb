package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
)

// TestBoundedListener: connections that are idle keep nobody out, those in use are not cut off, and
// who comes when all are in use is served as soon as one is free.
func TestBoundedListener(t *testing.T) {
	t.Parallel()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := newBoundedListener(plain, 2, 100)
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	server := &http.Server{ConnState: listener.changed, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			entered <- struct{}{}
			<-leave
		}
	})}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	send := func(path string) *bufio.Reader {
		t.Helper()
		conn, err := net.Dial("tcp", plain.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		return bufio.NewReader(conn)
	}
	wantAnswer := func(r *bufio.Reader) {
		t.Helper()
		answer, err := http.ReadResponse(r, nil)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", answer, err)
		}
	}
	wantClosed := func(r *bufio.Reader) {
		t.Helper()
		if _, err := r.ReadByte(); err != io.EOF {
			t.Fatalf("%v, want it closed", err)
		}
	}
	first := send("/")
	wantAnswer(first)
	for range 5 { // one at a time
		wantAnswer(send("/"))
	}
	wantClosed(first)

	busy, other := send("/wait"), send("/wait")
	<-entered
	<-entered
	waiting := send("/")
	close(leave)
	wantAnswer(busy)
	wantAnswer(other)
	wantAnswer(waiting)
}

// TestBoundedByAddress: an address that has as many connections as one may have gets no more, until
// one of them ends.
func TestBoundedByAddress(t *testing.T) {
	t.Parallel()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := newBoundedListener(plain, 100, 2)
	defer listener.Close()
	accepted := make(chan net.Conn, 10)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", plain.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	dial()
	dial()
	one := <-accepted
	<-accepted
	if _, err := dial().Read(make([]byte, 1)); err == nil || len(accepted) > 0 {
		t.Errorf("the third: %v", err)
	}
	one.Close()
	dial()
	<-accepted
}

func TestAddressOf(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1:5":              "192.0.2.1/32",
		"[::ffff:192.0.2.1]:5":     "192.0.2.1/32",
		"[2001:db8:1:2:3:4:5:6]:5": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:5":         "fe80::/64",
	} {
		at := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))
		if got := addressOf(remote{at: at}).String(); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

type remote struct {
	net.Conn
	at net.Addr
}

func (r remote) RemoteAddr() net.Addr { return r.at }
