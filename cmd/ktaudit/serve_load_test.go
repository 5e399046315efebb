package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/testservers"
)

// TestServeUnderLoad posts one epoch after the other, and reads over 64 connections, at last beside
// clients from another address that mean it harm. With KTAUDIT_LONG it does so for long enough to
// say how fast that is, which is what it logs.
func TestServeUnderLoad(t *testing.T) {
	t.Parallel()
	posts, reads := uint64(50), 20
	if serveLong {
		posts, reads = 2000, 1000
	}
	t.Run("local disk", func(t *testing.T) {
		l := newServeLoad(t, "file://"+t.TempDir(), nil)
		l.measurePosts(posts)
		l.measureReads("reads", reads)
		harm := l.harm()
		l.measureReads("reads beside harm", reads)
		if n := harm(); n == 0 {
			t.Error("nobody meant harm")
		}
	})
	t.Run("S3", func(t *testing.T) {
		l := newServeLoad(t, testservers.S3(t).BucketURL("signed"), testservers.S3Env())
		l.measurePosts(posts)
		l.measureReads("reads", reads)
	})
}

// serveLoad is one replica under load.
type serveLoad struct {
	*serveStorm
	address string
	last    uint64 // the last epoch that is signed
}

func newServeLoad(t *testing.T, store string, env []string) *serveLoad {
	t.Helper()
	s := newServeStorm(t, store, env, 1_000)
	r := &replica{s: s, name: "replica"}
	r.start()
	t.Cleanup(r.kill)
	r.waitUntilServing()
	return &serveLoad{serveStorm: s, address: *r.address.Load()}
}

// measurePosts posts as a log does: an epoch when the one before is signed.
func (l *serveLoad) measurePosts(n uint64) {
	l.t.Helper()
	var took []time.Duration
	began := time.Now()
	for range n {
		l.last++
		at := time.Now()
		if !l.post(l.t.Context(), l.address, l.last, honestDigest(l.last)) {
			l.t.Fatalf("epoch %d was not signed", l.last)
		}
		took = append(took, time.Since(at))
	}
	l.say("posts, one after the other", took, time.Since(began))
}

// measureReads reads over 64 connections, each so many times.
func (l *serveLoad) measureReads(what string, each int) {
	l.t.Helper()
	const connections = 64
	took := make([][]time.Duration, connections)
	began := time.Now()
	var group sync.WaitGroup
	for i := range connections {
		group.Go(func() {
			for range each {
				at := time.Now()
				url := fmt.Sprintf("http://%s/namespaces/%s/audits/%d", l.address, chaosNamespace, 1+rand.Uint64N(l.last))
				response, err := l.http.Get(url)
				if err != nil {
					l.t.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if err != nil || response.StatusCode != http.StatusOK {
					l.t.Errorf("%s: status %d, %v", url, response.StatusCode, err)
					return
				}
				took[i] = append(took[i], time.Since(at))
			}
		})
	}
	group.Wait()
	l.say(what+", over 64 connections", slices.Concat(took...), time.Since(began))
}

func (l *serveLoad) say(what string, took []time.Duration, all time.Duration) {
	l.t.Helper()
	if len(took) == 0 {
		l.t.Fatalf("no %s", what)
	}
	slices.Sort(took)
	l.t.Logf("%s: %.0f a second, half within %.2f ms, 99 %% within %.2f ms", what, float64(len(took))/all.Seconds(),
		took[len(took)/2].Seconds()*1000, took[len(took)*99/100].Seconds()*1000)
}

// harm begins what clients do that mean harm: headers that never end, bodies that are announced and
// do not come, or have no end, without a token and with one. It returns what ends them, and says
// how many connections there were.
func (l *serveLoad) harm() (end func() int64) {
	const head = "POST /namespaces/" + chaosNamespace + "/audits HTTP/1.1\r\nHost: x\r\n"
	const token = "Authorization: Bearer a-token-of-the-test\r\n"
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	stop := make(chan struct{})
	var made atomic.Int64
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				conn, err := dialer.Dial("tcp", l.address)
				if err != nil {
					continue
				}
				made.Add(1)
				_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
				endless := strings.NewReader(strings.Repeat("x", 1<<20))
				switch i % 4 {
				case 0: // headers that never end
					_, _ = io.WriteString(conn, head+"X-Slow: ")
				case 1: // a body that does not come
					_, _ = io.WriteString(conn, head+token+"Content-Length: 80\r\n\r\n{")
				case 2: // one that is too large, by somebody who may post
					_, _ = io.WriteString(conn, head+token+"Content-Length: 1000000000\r\n\r\n")
					_, _ = io.Copy(conn, endless)
				case 3: // and by somebody who may not
					_, _ = io.WriteString(conn, head+"Content-Length: 1000000000\r\n\r\n")
					_, _ = io.Copy(conn, endless)
				}
				_, _ = io.Copy(io.Discard, conn) // until it is hung up, or the deadline
				conn.Close()
			}
		})
	}
	return func() int64 { close(stop); group.Wait(); return made.Load() }
}
