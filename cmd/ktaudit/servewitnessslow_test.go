package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Whoever sends slowly, on as many connections as requests are answered at once, keeps nobody else
// from being answered.
func TestSlowSendersDoNotStopAWitness(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(boundedWitness(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprint(rw, len(body), err)
	})))
	server.Start()
	t.Cleanup(server.Close)
	var slow []net.Conn
	for range maxWitnessed + 1 {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		// The server asks for the body once the handler reads it.
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
		slow = append(slow, c)
	}
	for _, c := range slow {
		if n, err := c.Read(make([]byte, 8)); err != nil || n == 0 {
			t.Fatal(err)
		}
	}
	for body, want := range map[string]string{"old 0": "5 <nil>", strings.Repeat("x", 2*maxRequest): fmt.Sprint(maxRequest+1, " <nil>")} {
		answer, err := http.Post(server.URL, "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(answer.Body)
		if err = errors.Join(err, answer.Body.Close()); err != nil || answer.StatusCode != http.StatusOK || string(said) != want {
			t.Errorf("%s: %s, %v", answer.Status, said, err)
		}
	}
}
