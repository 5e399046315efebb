package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
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
	listener := newBoundedListener(plain, 2)
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
