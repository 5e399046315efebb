package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
)

var replayFull = flag.Bool("replay-full", false, "TestReplay replays a thousand small epochs and ten big ones of each public log in their true sizes")

// replay is the shape of a public log: see the presets in internal/config/defaults.go. Time goes
// faster, by the same factor for both that go on.
type replay struct {
	name          string
	first, epochs uint64
	insertions    int    // into a directory of 2^32 leaves: 66,000 are 48 MB, 280,000 200 MB
	closed        bool   // all is published, and audited as a range
	every         string // an epoch is published; it is the setting cadence, too
}

func replays() []replay {
	if *replayFull {
		return []replay{
			{"whatsapp-v1, small", 2_025_882, 1000, 20, true, "auto"},
			{"whatsapp-v1, big", 714_064, 3, 400_000, true, "auto"},
			{"whatsapp-v2, small", 722_606, 1000, 20, false, "100ms"},
			{"whatsapp-v2, big", 1_216_282, 10, 66_000, false, "1s"},
			{"messenger, small", 89_395, 1000, 20, false, "400ms"},
			{"messenger, big", 625_501, 10, 280_000, false, "4s"},
		}
	}
	return []replay{
		{"whatsapp-v1, small", 2_026_822, 60, 20, true, "auto"},
		{"whatsapp-v2, small", 722_606, 60, 20, false, "20ms"},
		{"whatsapp-v2, big", 1_216_290, 2, 3000, false, "100ms"},
		{"messenger, small", 89_395, 60, 20, false, "80ms"},
		{"messenger, big", 625_509, 2, 6000, false, "400ms"},
	}
}

// TestReplay imitates the public logs, behind a content network that keeps each listing for
// minutes, empty ones too: everything is verified, nothing is alerted. The whole of it:
//
//	go test ./cmd/ktaudit -run TestReplay -replay-full -timeout 1h -v
func TestReplay(t *testing.T) {
	t.Parallel()
	for _, r := range replays() {
		t.Run(r.name, func(t *testing.T) {
			if !*replayFull {
				t.Parallel()
			}
			r.run(t)
		})
	}
}

func (r replay) run(t *testing.T) {
	a := newAudited(t, fmt.Sprint(r.epochs), "--first", fmt.Sprint(r.first), "--insertions", fmt.Sprint(r.insertions),
		"--directory-size", fmt.Sprint(uint64(1)<<32))
	log, later := filepath.Join(a.dir, "log"), filepath.Join(a.dir, "later")
	if !r.closed {
		if err := os.Rename(log, later); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(log, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	hooks := newReceiver(t)
	last := r.first + r.epochs - 1
	config := fmt.Sprintf("audit_store: ./audit\nalerts: {webhook: {url: %q, secret_env: SECRET}}\n"+
		"namespaces: [{namespace: example, log_directory: %q, first: %d, poll: 1s, settle: none, cadence: %s}]\n",
		hooks.URL, r.serve(t, log), r.first, r.every)
	if err := os.WriteFile(filepath.Join(a.dir, "ktaudit.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if r.closed {
		if out, err := a.configured("run", "--to", fmt.Sprint(last)).CombinedOutput(); err != nil {
			t.Fatalf("run: %v\n%s", err, out)
		}
	} else {
		r.follow(t, a, log, later)
	}
	t.Logf("%d epochs in %s", r.epochs, time.Since(began).Round(time.Millisecond))
	out, err := a.configured("status", "--from", fmt.Sprint(r.first), "--to", fmt.Sprint(last)).CombinedOutput()
	if want := fmt.Sprintf("%d of %d epochs verified", r.epochs, r.epochs); err != nil || !strings.Contains(string(out), want) {
		t.Errorf("status: %v\n%s", err, out)
	}
	if alerts := hooks.got(); len(alerts) > 0 {
		t.Errorf("alerts were sent: %q", alerts)
	}
}

// serve puts the log's folder behind a content network, and returns the URL of its listing.
func (r replay) serve(t *testing.T, log string) string {
	bucket, err := blobstore.OpenBucket(context.WithoutCancel(t.Context()), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bucket.Close() })
	network := &s3listtest.Network{KeepFor: 3 * time.Minute}
	objects := s3listtest.Handler(bucket)
	listings := network.Serve(objects)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			listings.ServeHTTP(w, r)
		} else {
			objects.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return "s3list+" + server.URL + "?rate=1000"
}

// follow publishes the epochs one by one, while a process follows the log, and ends when all have a
// verdict.
func (r replay) follow(t *testing.T, a audited, log, later string) {
	every, err := time.ParseDuration(r.every)
	if err != nil {
		t.Fatal(err)
	}
	cmd := a.configured("run", "--listen", "127.0.0.1:0")
	startListening(t, cmd)
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for i := range r.epochs {
		epoch := strconv.FormatUint(r.first+i, 10)
		// What shows when an epoch was published is its object's time.
		now := time.Now()
		err := filepath.WalkDir(filepath.Join(later, epoch), func(path string, _ os.DirEntry, err error) error {
			if err == nil {
				err = os.Chtimes(path, now, now)
			}
			return err
		})
		if err == nil {
			err = os.Rename(filepath.Join(later, epoch), filepath.Join(log, epoch))
		}
		if err != nil {
			t.Fatal(err)
		}
		<-ticker.C
	}
	published := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for uint64(a.verdicts()) < r.epochs {
		select {
		case err := <-ended:
			t.Fatalf("run ended: %v", err)
		case <-t.Context().Done():
			t.Fatal("the test ends")
		case <-time.After(5 * time.Millisecond):
		}
	}
	t.Logf("the last verdict came %s after the last epoch", time.Since(published).Round(time.Millisecond))
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatalf("run: %v", err)
	}
}
