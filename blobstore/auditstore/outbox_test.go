package auditstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/testservers"
	"gocloud.dev/blob/memblob"
)

// TestOutbox is what every outbox must do, whatever holds it.
func TestOutbox(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*testing.T, opener){
		"notice is open until closed":   noticeIsOpenUntilClosed,
		"first notice stays":            firstNoticeStays,
		"reopened notice stays closed":  reopenedNoticeStaysClosed,
		"strangers are not listed":      strangersAreNotListed,
		"deliveries are marked":         deliveriesAreMarked,
		"claim has one holder":          claimHasOneHolder,
		"live claim counts":             liveClaimCounts,
		"dead claims are removed":       deadClaimsAreRemoved,
		"outbox keys cannot be steered": outboxKeysCannotBeSteered,
		"notice size is limited":        noticeSizeIsLimited,
	}
	run := func(t *testing.T, fresh func(*testing.T) opener) {
		t.Parallel()
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, fresh(t))
			})
		}
	}
	t.Run("memory", func(t *testing.T) {
		run(t, func(*testing.T) opener {
			b := memblob.OpenBucket(nil)
			return func(*testing.T) *Store { return New(b) }
		})
	})
	t.Run("local disk", func(t *testing.T) {
		run(t, func(t *testing.T) opener { return at(t.TempDir()) })
	})
	t.Run("S3 with prefix", func(t *testing.T) {
		s := testservers.S3(t)
		run(t, func(t *testing.T) opener { return at(s.BucketURL(bucketName(t)) + "&prefix=audits/2026/") })
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantOpen(t *testing.T, o Outbox, want ...string) {
	t.Helper()
	if got, err := o.Open(t.Context()); err != nil || !slices.Equal(got, want) {
		t.Errorf("open: %q, %v, want %q", got, err, want)
	}
}

// mustPut opens a notice and returns whether it was not open.
func mustPut(t *testing.T, o Outbox, name string, notice []byte) bool {
	t.Helper()
	created, err := o.Put(t.Context(), name, notice)
	must(t, err)
	return created
}

func noticeIsOpenUntilClosed(t *testing.T, open opener) {
	o, again := open(t).Outbox(namespace), open(t).Outbox(namespace)
	wantOpen(t, o)
	for _, name := range []string{"2-b", "1-c", "1-a"} {
		mustPut(t, o, name, []byte(name))
	}
	wantOpen(t, again, "1-a", "1-c", "2-b")
	wantOpen(t, open(t).Outbox("another"))
	if got, err := again.Notice(t.Context(), "1-c"); err != nil || string(got) != "1-c" {
		t.Errorf("notice: %q, %v", got, err)
	}
	if _, err := again.Closed(t.Context(), "1-c"); !errors.Is(err, ErrNotFound) {
		t.Errorf("closed before: %v", err)
	}
	for range 2 {
		must(t, again.Close(t.Context(), "1-c", []byte("done")))
	}
	wantOpen(t, o, "1-a", "2-b")
	if got, err := o.Closed(t.Context(), "1-c"); err != nil || string(got) != "done" {
		t.Errorf("closed: %q, %v", got, err)
	}
	if _, err := o.Notice(t.Context(), "1-c"); !errors.Is(err, ErrNotFound) {
		t.Errorf("notice after: %v", err)
	}
}

func firstNoticeStays(t *testing.T, open opener) {
	o := open(t).Outbox(namespace)
	for _, data := range []string{"first", "second"} {
		if created := mustPut(t, o, "a", []byte(data)); created != (data == "first") {
			t.Errorf("%s: created is %v", data, created)
		}
	}
	if got, err := o.Notice(t.Context(), "a"); err != nil || string(got) != "first" {
		t.Errorf("notice: %q, %v", got, err)
	}
	for _, data := range []string{"first", "second"} {
		must(t, o.Close(t.Context(), "a", []byte(data)))
	}
	if got, err := o.Closed(t.Context(), "a"); err != nil || string(got) != "first" {
		t.Errorf("closed: %q, %v", got, err)
	}
}

func reopenedNoticeStaysClosed(t *testing.T, open opener) {
	o := open(t).Outbox(namespace)
	must(t, o.Close(t.Context(), "a", []byte("done")))
	mustPut(t, o, "a", []byte("late"))
	wantOpen(t, o, "a")
	must(t, o.Close(t.Context(), "a", []byte("done again")))
	wantOpen(t, o)
	if got, err := o.Closed(t.Context(), "a"); err != nil || string(got) != "done" {
		t.Errorf("closed: %q, %v", got, err)
	}
}

func strangersAreNotListed(t *testing.T, open opener) {
	s := open(t)
	o := s.Outbox(namespace)
	mustPut(t, o, "a", nil)
	for _, key := range []string{"a.json.bak", "b", "folder/b.json", "a..b.json", ".b.json", "b c.json"} {
		must(t, s.objects.Put(t.Context(), namespace+"/alerts/open/"+key, []byte("x")))
	}
	wantOpen(t, o, "a")
}

func deliveriesAreMarked(t *testing.T, open opener) {
	o := open(t).Outbox(namespace)
	for range 2 {
		must(t, o.MarkDelivered(t.Context(), "pager", "a", []byte("{}")))
	}
	for _, c := range []struct {
		target, name string
		want         bool
	}{{"pager", "a", true}, {"pager", "b", false}, {"chat", "a", false}} {
		if got, err := open(t).Outbox(namespace).Delivered(t.Context(), c.target, c.name); err != nil || got != c.want {
			t.Errorf("%s at %s: %v, %v", c.name, c.target, got, err)
		}
	}
	wantOpen(t, o)
}

const testLease = time.Minute

func claimHasOneHolder(t *testing.T, open opener) {
	const rounds, claimants = 10, 6
	var holders, held, claims atomic.Int64
	var wg sync.WaitGroup
	for range claimants {
		o := open(t).Outbox(namespace)
		wg.Go(func() {
			for range rounds {
				c, err := o.Claim(t.Context(), "pager", testLease)
				if errors.Is(err, ErrClaimed) {
					held.Add(1)
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				claims.Add(1)
				if holders.Add(1) > 1 {
					t.Error("two hold the claim")
				}
				holders.Add(-1)
				if err := c.Release(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	t.Log(claims.Load(), "claims,", held.Load(), "refused")
	c, err := open(t).Outbox(namespace).Claim(t.Context(), "pager", testLease)
	if err != nil {
		t.Fatalf("after all were released: %v", err)
	}
	if _, err := open(t).Outbox(namespace).Claim(t.Context(), "pager", testLease); !errors.Is(err, ErrClaimed) {
		t.Errorf("a second claim: %v, want ErrClaimed", err)
	}
	if _, err := open(t).Outbox(namespace).Claim(t.Context(), "chat", testLease); err != nil {
		t.Errorf("a claim of another target: %v", err)
	}
	must(t, c.Release(t.Context()))
	if _, err := open(t).Outbox(namespace).Claim(t.Context(), "pager", testLease); err != nil {
		t.Errorf("after the release: %v", err)
	}
}

// plantClaim leaves a claim behind, as a process that died does, and returns its key.
func plantClaim(t *testing.T, s *Store, until time.Time) string {
	t.Helper()
	key := fmt.Sprintf("%s/alerts/claims/pager/%013d-X.json", namespace, until.UnixMilli())
	must(t, s.objects.Put(t.Context(), key, nil))
	return key
}

func liveClaimCounts(t *testing.T, open opener) {
	s := open(t)
	key := plantClaim(t, s, time.Now().Add(testLease))
	for range 2 {
		if _, err := s.Outbox(namespace).Claim(t.Context(), "pager", testLease); !errors.Is(err, ErrClaimed) {
			t.Errorf("beside a live claim: %v, want ErrClaimed", err)
		}
	}
	must(t, s.objects.Remove(t.Context(), key))
	if _, err := s.Outbox(namespace).Claim(t.Context(), "pager", testLease); err != nil {
		t.Errorf("those who withdrew left something behind: %v", err)
	}
}

func deadClaimsAreRemoved(t *testing.T, open opener) {
	for what, until := range map[string]time.Time{
		"its lease ended":         time.Now().Add(-time.Millisecond),
		"it is of a wrong clock":  time.Now().Add(24 * time.Hour),
		"it is of a broken clock": time.UnixMilli(0),
	} {
		s := open(t)
		key := plantClaim(t, s, until)
		c, err := s.Outbox(namespace).Claim(t.Context(), "pager", testLease)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if _, err := s.get(t.Context(), key, 10); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: it is still there: %v", what, err)
		}
		must(t, c.Release(t.Context()))
	}
}

func outboxKeysCannotBeSteered(t *testing.T, open opener) {
	s := open(t)
	for _, bad := range []string{"", ".", "..", "../x", "a/b", "/a", "a..b", ".hidden", "a b", "a\x00", "é"} {
		o, elsewhere := s.Outbox(namespace), s.Outbox(bad)
		calls := map[string]func(context.Context) error{
			"put":       func(ctx context.Context) error { _, err := o.Put(ctx, bad, nil); return err },
			"close":     func(ctx context.Context) error { return o.Close(ctx, bad, nil) },
			"mark":      func(ctx context.Context) error { return o.MarkDelivered(ctx, bad, "a", nil) },
			"notice":    func(ctx context.Context) error { _, err := o.Notice(ctx, bad); return err },
			"closed":    func(ctx context.Context) error { _, err := o.Closed(ctx, bad); return err },
			"delivered": func(ctx context.Context) error { _, err := o.Delivered(ctx, "a", bad); return err },
			"claim":     func(ctx context.Context) error { _, err := o.Claim(ctx, bad, testLease); return err },
			"open":      func(ctx context.Context) error { _, err := elsewhere.Open(ctx); return err },
			"elsewhere": func(ctx context.Context) error { _, err := elsewhere.Put(ctx, "a", nil); return err },
		}
		for name, call := range calls {
			if err := call(t.Context()); err == nil || errors.Is(err, ErrNotFound) {
				t.Errorf("%s takes %q: %v", name, bad, err)
			}
		}
	}
}

func noticeSizeIsLimited(t *testing.T, open opener) {
	o := open(t).Outbox(namespace)
	mustPut(t, o, "a", make([]byte, MaxNoticeBytes))
	if _, err := o.Put(t.Context(), "b", make([]byte, MaxNoticeBytes+1)); err == nil {
		t.Error("a notice over the limit is taken")
	}
	wantOpen(t, o, "a")
}

func TestOpenNoticesAreListedUpToALimit(t *testing.T) {
	t.Parallel()
	s := New(memblob.OpenBucket(nil))
	for i := range MaxOpenNotices + 5 {
		must(t, s.objects.Put(t.Context(), fmt.Sprintf("%s/alerts/open/%09d.json", namespace, i), nil))
	}
	got, err := s.Outbox(namespace).Open(t.Context())
	if err != nil || len(got) != MaxOpenNotices || got[0] != "000000000" || !slices.IsSorted(got) {
		t.Errorf("%d names from %.9q, %v", len(got), got[:1], err)
	}
}
