package alert

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"
)

// slow is a bucket that pauses at each read of some objects and at each removal, and counts both.
type slow struct {
	mortal
	of             string // what is in the keys of these objects
	pause          time.Duration
	reads, deletes atomic.Int64
}

func (b *slow) NewRangeReader(ctx context.Context, key string, offset, length int64, o *driver.ReaderOptions) (driver.Reader, error) {
	if strings.Contains(key, b.of) {
		b.reads.Add(1)
		time.Sleep(b.pause)
	}
	return b.mortal.NewRangeReader(ctx, key, offset, length, o)
}

func (b *slow) Delete(ctx context.Context, key string, o *driver.DeleteOptions) error {
	if strings.Contains(key, "/open/") {
		b.deletes.Add(1)
		time.Sleep(b.pause)
	}
	return b.mortal.Delete(ctx, key, o)
}

// The first of many alerts does not wait until the marks of all of them were read.
func TestAFloodDoesNotDelayTheWorst(t *testing.T) {
	t.Parallel()
	memory := memblob.OpenBucket(nil)
	bucket := &slow{mortal: mortal{memory: memory}, of: "/delivered/hook/"}
	var before atomic.Int64
	rc := newReceiver(t, func(*http.Request, message) int {
		before.CompareAndSwap(0, bucket.reads.Load())
		return 0
	})
	store := auditstore.New(memory)
	const flood = 1000
	for epoch := range uint64(flood) {
		raise(t, store, OfSilent(namespace, epoch, began))
	}
	raise(t, store, OfVerdict(rejection(1)))
	d := dispatcher(t, auditstore.New(blob.NewBucket(bucket)), Options{}, rc.target(t, "hook"))
	start(t, d)
	eventually(t, "all are sent", func() bool { return len(rc.got()) == flood+1 })
	if got := rc.got(); !strings.HasPrefix(got[0], "firing rejected/") {
		t.Errorf("first came %q", got[0])
	}
	if n := before.Load(); n > 2*atOnce {
		t.Errorf("%d reads before the first alert was sent", n)
	}
}

// While many notices are being closed, what is new is sent.
func TestClosingManyDelaysNoAlert(t *testing.T) {
	t.Parallel()
	memory := memblob.OpenBucket(nil)
	bucket := &slow{mortal: mortal{memory: memory}, of: "nothing", pause: 5 * time.Millisecond}
	rc := newReceiver(t, nil)
	store := auditstore.New(memory)
	const many = 1000
	for epoch := range uint64(many) {
		a := OfVerdict(rejection(epoch))
		raise(t, store, a)
		for _, target := range []string{LogName, "hook"} {
			must(t, store.Outbox(namespace).MarkDelivered(t.Context(), target, a.noticeName(), []byte("{}")))
		}
	}
	start(t, dispatcher(t, auditstore.New(blob.NewBucket(bucket)), Options{}, rc.target(t, "hook")))
	eventually(t, "some are closed", func() bool { return bucket.deletes.Load() > 2 })
	raise(t, store, OfSealedMismatch(namespace, 1, "another"))
	eventually(t, "the new one is sent", func() bool { return len(rc.got()) == 1 })
	if n := bucket.deletes.Load(); n > many/2 {
		t.Errorf("it was sent after %d were closed", n)
	}
}

// hanging is a bucket that never answers a read of some objects, unless the reader gives up.
type hanging struct {
	mortal
	of string
}

func (b *hanging) NewRangeReader(ctx context.Context, key string, offset, length int64, o *driver.ReaderOptions) (driver.Reader, error) {
	if strings.Contains(key, b.of) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return b.mortal.NewRangeReader(ctx, key, offset, length, o)
}

// An alert that cannot be read in the time of a claim keeps no other from being sent in that time,
// even in the same message.
func TestAReadThatHangsKeepsNoOtherAlert(t *testing.T) {
	t.Parallel()
	memory := memblob.OpenBucket(nil)
	store := auditstore.New(memory)
	raise(t, store, OfVerdict(rejection(1)), OfSilent(namespace, 5, began))
	bucket := &hanging{mortal: mortal{memory: memory}, of: "/open/2-silent"}
	var sent atomic.Int64
	many := Target{Name: "many", Batch: 10, Send: func(_ context.Context, alerts []Alert) error {
		sent.Add(int64(len(alerts)))
		return nil
	}}
	start(t, dispatcher(t, auditstore.New(blob.NewBucket(bucket)), Options{lease: 2 * time.Second}, many))
	eventually(t, "the other one is sent", func() bool { return sent.Load() == 1 })
}

// unhurried is a bucket whose reads take their time, unless the reader gives up.
type unhurried struct{ mortal }

func (b *unhurried) NewRangeReader(ctx context.Context, key string, offset, length int64, o *driver.ReaderOptions) (driver.Reader, error) {
	select {
	case <-time.After(20 * time.Millisecond):
		return b.mortal.NewRangeReader(ctx, key, offset, length, o)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// More alerts than can be sent under one claim are no failure: the log does not complain, and the
// next alert does not wait.
func TestMoreThanOneClaimIsNoFailure(t *testing.T) {
	t.Parallel()
	memory := memblob.OpenBucket(nil)
	store := auditstore.New(memory)
	const many = 30
	for epoch := range uint64(many) {
		raise(t, store, OfSilent(namespace, epoch, began))
	}
	var sent atomic.Int64
	one := Target{Name: "one", Batch: 1, Send: func(context.Context, []Alert) error {
		sent.Add(1)
		return nil
	}}
	log, text := logger()
	start(t, dispatcher(t, auditstore.New(blob.NewBucket(&unhurried{mortal: mortal{memory: memory}})),
		Options{lease: 2 * time.Second, Log: log}, one))
	eventually(t, "all are sent", func() bool { return sent.Load() == many })
	if got := text.String(); strings.Contains(got, "not delivered") {
		t.Errorf("in the log is %s", got)
	}
}
