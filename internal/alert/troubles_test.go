package alert

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"
)

// A target that refuses whoever asks is not asked for each half of a message: a mail server would
// lock the account.
func TestATargetThatRefusesWhateverComesIsAskedOnce(t *testing.T) {
	t.Parallel()
	store := auditstore.New(memblob.OpenBucket(nil))
	for epoch := uint64(1); epoch <= 100; epoch++ {
		raise(t, store, rejectionFor(epoch, verdict.DigestMismatch))
	}
	asked := 0
	target := Target{Name: "locked", Send: func(context.Context, []Alert) error {
		asked++
		return &jsonpost.Refusal{Err: errors.New("535 wrong password"), All: true}
	}}
	if err := dispatcher(t, store, patient(), target).Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "535 wrong password") {
		t.Errorf("no error: %v", err)
	}
	if asked != 1 {
		t.Errorf("it was asked %d times", asked)
	}
}

// Nor is it asked to take once more what it has, which it will want repeated.
func TestATargetThatRefusesIsNotSentRepetitions(t *testing.T) {
	t.Parallel()
	store := auditstore.New(memblob.OpenBucket(nil))
	var asked, refuses atomic.Int64
	target := Target{Name: "locked", Repeat: time.Nanosecond, Send: func(context.Context, []Alert) error {
		asked.Add(1)
		if refuses.Load() == 0 {
			return nil
		}
		return &jsonpost.Refusal{Err: errors.New("401 who are you"), All: true}
	}}
	raise(t, store, OfSilent(namespace, 5, began))
	d := dispatcher(t, store, Options{retry: retryTimes{first: time.Millisecond, longest: time.Millisecond, refused: time.Hour, claimed: time.Millisecond}}, target)
	must(t, d.Flush(t.Context()))
	sender := d.namespaces[0].senders[1]
	for _, more := range []func(){func() { raise(t, store, OfSilent(namespace, 6, began)) }, func() {}} {
		more()
		refuses.Store(1)
		asked.Store(0)
		sender.next = time.Time{}
		for range 5 {
			names, err := store.Outbox(namespace).Open(t.Context())
			must(t, err)
			_ = sender.round(t.Context(), names, false)
		}
		if n := asked.Load(); n != 1 || time.Until(sender.next) < 30*time.Minute {
			t.Errorf("it was asked %d times, and is asked again in %s", n, time.Until(sender.next))
		}
	}
}

// faulty is a bucket that fails to read some objects.
type faulty struct {
	mortal
	of string
}

func (b *faulty) NewRangeReader(ctx context.Context, key string, offset, length int64, o *driver.ReaderOptions) (driver.Reader, error) {
	if strings.Contains(key, b.of) {
		return nil, errors.New("disk error")
	}
	return b.mortal.NewRangeReader(ctx, key, offset, length, o)
}

// A notice that the store cannot read is told of, and does not put off what comes after it.
func TestAReadThatFailsDelaysNoNewAlert(t *testing.T) {
	t.Parallel()
	memory := memblob.OpenBucket(nil)
	store := auditstore.New(memory)
	raise(t, store, OfVerdict(rejection(1)))
	rc := newReceiver(t, nil)
	log, text := logger()
	start(t, dispatcher(t, auditstore.New(blob.NewBucket(&faulty{mortal{memory: memory}, "/open/1-rejected.000000000001"})), Options{
		Log: log, retry: retryTimes{first: time.Hour, longest: time.Hour, refused: time.Hour, claimed: time.Millisecond},
	}, rc.target(t, "hook")))
	eventually(t, "the fault is told", func() bool { return strings.Contains(text.String(), "disk error") })
	raise(t, store, OfVerdict(rejection(2)))
	eventually(t, "the next alert arrives", func() bool { return len(rc.got()) == 1 })
	rc.want(t, "firing rejected/000000000002")
}

// A store that is too slow for anything to be sent is told of, and not asked again at once.
func TestAStoreThatIsTooSlowIsSaid(t *testing.T) {
	t.Parallel()
	memory := memblob.OpenBucket(nil)
	raise(t, auditstore.New(memory), OfVerdict(rejection(1)))
	var sent atomic.Int64
	target := Target{Name: "hook", Send: func(context.Context, []Alert) error { sent.Add(1); return nil }}
	d := dispatcher(t, auditstore.New(blob.NewBucket(&hanging{mortal{memory: memory}, "/open/"})),
		Options{lease: 200 * time.Millisecond, gather: 300 * time.Millisecond}, target)
	if err := d.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "the audit store is too slow") || sent.Load() != 0 {
		t.Errorf("it ends with %v, %d were sent", err, sent.Load())
	}
}
