package page

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/page/summary"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// TestLoad asks for the overview 500 times a second, over two million verdicts, while the page goes
// on reading. With KTAUDIT_LONG it does so for twenty seconds, on a machine that should not be busy,
// and wants 99 of 100 answers within 50 ms.
func TestLoad(t *testing.T) {
	long := os.Getenv("KTAUDIT_LONG") != ""
	const perSecond, shards = 500, 2027
	seconds := 1
	if long {
		seconds = 20
	}
	memory := jobstest.NewArchiveStore(t)
	_, last := verdict.ShardRange(shards - 1)
	span := verdict.SealedSpan{Span: verdict.Span{From: 1, To: last, PreviousDigest: jobstest.DigestAfter(0), Digest: jobstest.DigestAfter(last)}}
	for range shards {
		span.Seals = append(span.Seals, strings.Repeat("0", 64))
	}
	_, err := memory.Store.PutHistory(t.Context(), verdict.History{Namespace: jobstest.Namespace, Spans: []verdict.SealedSpan{span}})
	jobstest.Must(t, err)
	jobstest.Verify(t, memory.Store, jobstest.Span(last-50, last+700)...)
	watched, store := memory.Watched(t, jobstest.NoFault)
	p, err := New(Config{Store: store.Store, Logs: []summary.Log{{Name: jobstest.Namespace, First: 1}}, Every: time.Second, Log: zerolog.Nop()})
	jobstest.Must(t, err)
	read(t, p)
	jobstest.Background(t, p.Run)
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 200}}
	t.Cleanup(client.CloseIdleConnections)

	before := watched.Requests.Load()
	took := make([]time.Duration, perSecond*seconds)
	var all sync.WaitGroup
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	for i := range took {
		<-tick.C
		all.Go(func() {
			began := time.Now()
			answer, err := client.Get(server.URL + "/")
			if err != nil {
				t.Error(err)
				return
			}
			defer answer.Body.Close()
			if n, err := io.Copy(io.Discard, answer.Body); err != nil || n == 0 || answer.StatusCode != http.StatusOK {
				t.Errorf("%s: %d bytes, %v", answer.Status, n, err)
			}
			took[i] = time.Since(began)
		})
	}
	all.Wait()
	slices.Sort(took)
	p50, p99 := took[len(took)/2], took[len(took)*99/100]
	t.Logf("of %d requests in %d s: p50 %s, p99 %s, the longest %s; %d requests to the store", len(took), seconds, p50, p99, took[len(took)-1],
		watched.Requests.Load()-before)
	if long && p99 >= 50*time.Millisecond {
		t.Errorf("p99 is %s", p99)
	}
}
