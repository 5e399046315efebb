package schedule

import (
	"context"
	"flag"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/worker"
	"gocloud.dev/blob"
)

var cachingFor = flag.Duration("caching-for", 0, "how long TestHostileCachingNetwork publishes an epoch a second; 0: forty epochs, each when the one before has its verdict")

// cachedLog is a log behind a content network. Its listings lag behind its objects by two epochs.
type cachedLog struct {
	*world
	network *s3listtest.Network
	log     *simlog.Log
	listed  *blob.Bucket
	last    uint64 // that is published
}

const listingLag = 2

func newCachedLog(t *testing.T, network *s3listtest.Network) *cachedLog {
	t.Helper()
	w, listed := emptyWorld(t), jobstest.OpenMemory(t)
	objects, listings := s3listtest.Handler(w.Log), network.Serve(s3listtest.Handler(listed))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			listings.ServeHTTP(w, r)
		} else {
			objects.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	directory, err := blobstore.OpenBucket(t.Context(), "s3list+"+server.URL+"?rate=1000")
	jobstest.Must(t, err)
	t.Cleanup(func() { _ = directory.Close() })
	w.Config.Fetcher = fetcher.New(directory, fetcher.Options{})
	log, err := simlog.Open(t.Context(), w.Log, w.Signatures, simlog.Options{
		Namespace: jobstest.Namespace, SigningKey: jobstest.Key(), FirstLoad: 10, Insertions: 4, Epochs: 1 << 20,
	})
	jobstest.Must(t, err)
	return &cachedLog{world: w, network: network, log: log, listed: listed}
}

// publish publishes an epoch, and returns the one that is listed by now.
func (l *cachedLog) publish(t *testing.T) (listed uint64) {
	t.Helper()
	e, err := l.log.Next(context.WithoutCancel(t.Context()))
	jobstest.Must(t, err)
	l.last = e.Name.Epoch
	if l.last <= listingLag {
		return 0
	}
	object, err := l.Fetcher.Locate(t.Context(), l.last-listingLag)
	jobstest.Must(t, err)
	content, err := l.Log.ReadAll(t.Context(), object.Key)
	jobstest.Must(t, err)
	jobstest.Must(t, l.listed.WriteAll(t.Context(), object.Key, content, nil))
	return l.last - listingLag
}

// follow has a scheduler and a worker look after the log.
func (l *cachedLog) follow(t *testing.T, poll time.Duration) {
	t.Helper()
	r, s := queuetest.Miniredis(t), l.schedule()
	s.Poll, s.SilentAfter, s.TransientAfter, s.BacklogAge = poll, time.Minute, time.Minute, time.Minute
	scheduler, err := New(r, []Config{s}, l.Config.Log)
	jobstest.Must(t, err)
	jobstest.Background(t, scheduler.Run)
	startWorker(t, r, l.Auditor(t), worker.Config{NotYetDelay: time.Second})
}

func (l *cachedLog) isJudged(t *testing.T, epoch uint64) bool {
	_, err := l.Config.Store.Verdict(t.Context(), jobstest.Namespace, epoch)
	return err == nil
}

// A log behind a content network that keeps empty listings, and lists what is published two epochs
// late, is followed without delay and without an alert. More of it:
//
//	go test ./jobs/schedule -run TestHostileCachingNetwork -caching-for 10m -timeout 20m -v
func TestHostileCachingNetwork(t *testing.T) {
	t.Parallel()
	l := newCachedLog(t, &s3listtest.Network{})
	for range 20 {
		l.publish(t)
	}
	if *cachingFor > 0 {
		l.follow(t, time.Second)
		l.measureLag(t, *cachingFor)
	} else {
		l.follow(t, 20*time.Millisecond)
		for range 40 {
			listed := l.publish(t)
			jobstest.Eventually(t, "a verdict", func() bool { return l.isJudged(t, listed) })
		}
	}
	jobstest.WantNotices(t, l.Config.Store)
	if n := l.network.Hits(); n > 0 {
		t.Errorf("%d answers came out of the cache", n)
	}
}

// A content network that does not tell the listings' URLs apart delays a log by as long as it keeps
// them, and causes no alert.
func TestHostileCachingNetworkThatIgnoresTheQuery(t *testing.T) {
	t.Parallel()
	l := newCachedLog(t, &s3listtest.Network{KeepFor: 5 * time.Minute, IgnoreQuery: []string{"cb"}})
	for range 10 {
		l.publish(t)
	}
	l.follow(t, 20*time.Millisecond)
	for range 5 {
		hits := l.network.Hits()
		jobstest.Eventually(t, "an answer out of the cache", func() bool { return l.network.Hits() > hits })
		listed := l.publish(t)
		l.network.Pass(5 * time.Minute)
		jobstest.Eventually(t, "a verdict", func() bool { return l.isJudged(t, listed) })
	}
	jobstest.WantNotices(t, l.Config.Store)
}

// measureLag publishes an epoch each second, and takes the time from when each is published, two
// seconds before it is listed, until it has its verdict.
func (l *cachedLog) measureLag(t *testing.T, length time.Duration) {
	t.Helper()
	var lags []time.Duration
	at := map[uint64]time.Time{}
	began, next := time.Now(), uint64(0)
	for time.Since(began) < length || len(at) > listingLag {
		if tick := began.Add(time.Duration(next) * time.Second); time.Since(began) < length && !time.Now().Before(tick) {
			l.publish(t)
			at[l.last] = time.Now()
			next++
		}
		for epoch, since := range at {
			if epoch+listingLag > l.last {
				continue
			}
			if l.isJudged(t, epoch) {
				lags = append(lags, time.Since(since))
				delete(at, epoch)
			} else if time.Since(since) > time.Minute {
				t.Fatalf("epoch %d has no verdict after a minute", epoch)
			}
		}
		_ = wait.For(t.Context(), 20*time.Millisecond)
	}
	slices.Sort(lags)
	greatest := lags[len(lags)-1]
	t.Logf("%d epochs: lag median %s, 99th percentile %s, greatest %s", len(lags), lags[len(lags)/2], lags[len(lags)*99/100], greatest)
	if greatest >= 10*time.Second {
		t.Errorf("the lag came to %s", greatest)
	}
}
