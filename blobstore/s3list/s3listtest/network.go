package s3listtest

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Network is a content network in front of the server, such as the public logs have. For KeepFor it
// answers what it was asked before, be it an empty listing, from its memory, with the headers Age
// and X-Cache, whatever the request's own Cache-Control says:
//
//	network := &s3listtest.Network{KeepFor: time.Minute}
//	server.Always(network.Serve)
//
// Requests are the same if method, URL and Range are. All of an answer is kept, so it is not for
// large objects. The zero value keeps answers for ever.
type Network struct {
	// KeepFor is how long an answer is kept; 0 is for ever.
	KeepFor time.Duration
	// IgnoreQuery are query parameters that do not make a URL another one to the network.
	IgnoreQuery []string
	// Silent leaves out Age and X-Cache.
	Silent bool

	mu   sync.Mutex
	kept map[string]*keptAnswer
	hits int
	skew time.Duration
}

type keptAnswer struct {
	status int
	header http.Header
	body   []byte
	at     time.Time
}

// Serve is the Fault to give to Next or Always.
func (n *Network) Serve(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := n.key(r)
		n.mu.Lock()
		now := time.Now().Add(n.skew)
		kept, hit := n.kept[key]
		if hit && n.KeepFor > 0 && now.Sub(kept.at) >= n.KeepFor {
			hit = false
		}
		if hit {
			n.hits++
		}
		n.mu.Unlock()
		if !hit {
			status, header, body := right(next, r)
			kept = &keptAnswer{status, header, body, now}
			if status < http.StatusInternalServerError {
				n.mu.Lock()
				if n.kept == nil {
					n.kept = map[string]*keptAnswer{}
				}
				n.kept[key] = kept
				n.mu.Unlock()
			}
		}
		header := kept.header.Clone()
		switch {
		case n.Silent:
			header.Del("X-Cache")
		case hit:
			header.Set("X-Cache", "Hit from cloudfront")
			header.Set("Age", strconv.Itoa(int(now.Sub(kept.at)/time.Second)))
		}
		send(w, kept.status, header, kept.body)
	})
}

func (n *Network) key(r *http.Request) string {
	u := *r.URL
	q := u.Query()
	for _, name := range n.IgnoreQuery {
		q.Del(name)
	}
	u.RawQuery = q.Encode()
	return r.Method + " " + u.String() + " " + r.Header.Get("Range")
}

// Pass lets time pass for the network: what it keeps is older by d.
func (n *Network) Pass(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.skew += d
}

// Hits is how many answers came out of its memory.
func (n *Network) Hits() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hits
}
