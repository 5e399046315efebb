package auditstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"
)

const (
	// MaxNoticeBytes is the largest notice the outbox takes.
	MaxNoticeBytes = 32 << 10
	// MaxOpenNotices is how many open notices are listed at once. More than these wait until some
	// of these are closed.
	MaxOpenNotices = 10_000
)

// Outbox is the part of the audit store that holds what a namespace has to tell people until they
// were told. Its layout is
//
//	{namespace}/alerts/open/{name}.json                 to be delivered
//	{namespace}/alerts/delivered/{target}/{name}.json   a target has it; stays
//	{namespace}/alerts/closed/{name}.json               nothing is left to do; stays
//	{namespace}/alerts/claims/{target}/{until}-{random}.json
//
// Everything is created once and never changed. Only open notices and claims are ever removed, so
// that both folders, the only ones that are listed, stay small for years. Whoever sends needs the
// right to delete there.
//
// Names are plain segments, as namespaces are. What a notice says is left to others.
type Outbox struct{ records }

// Outbox is the outbox of a namespace, which is checked by each call.
func (s *Store) Outbox(namespace string) Outbox { return Outbox{records{s, namespace, "alerts"}} }

// Put opens a notice, once: if one of that name is open already, that one stays, and Put returns
// false. It does not look for a closed one.
func (o Outbox) Put(ctx context.Context, name string, notice []byte) (created bool, err error) {
	return o.create(ctx, notice, "open", name)
}

// Open returns the names of the open notices in the order of their keys, at most MaxOpenNotices, by
// one listing.
func (o Outbox) Open(ctx context.Context) ([]string, error) {
	names, _, err := o.firstNames(ctx, MaxOpenNotices, "open")
	return names, err
}

// ClosedNames yields the names of the closed notices in the order of their keys. Nothing else lists
// that folder, which grows for years.
func (o Outbox) ClosedNames(ctx context.Context) iter.Seq2[string, error] {
	return o.names(ctx, "closed")
}

// Notice returns an open notice; ErrNotFound if it is not open.
func (o Outbox) Notice(ctx context.Context, name string) ([]byte, error) {
	return o.read(ctx, "open", name)
}

// Closed returns what a notice was closed with; ErrNotFound if it was not closed.
func (o Outbox) Closed(ctx context.Context, name string) ([]byte, error) {
	return o.read(ctx, "closed", name)
}

// Close keeps a record of a notice for good and takes it out of the open ones. If it was closed
// before, that record stays.
//
// A crash between the two steps leaves the notice open and closed: so does whoever opens it a
// moment after it was closed. The record counts. Whoever finds both closes the notice again.
func (o Outbox) Close(ctx context.Context, name string, record []byte) error {
	if _, err := o.create(ctx, record, "closed", name); err != nil {
		return err
	}
	return o.remove(ctx, "open", name)
}

// MarkDelivered records that a target has a notice. The first record stays.
func (o Outbox) MarkDelivered(ctx context.Context, target, name string, record []byte) error {
	_, err := o.create(ctx, record, "delivered", target, name)
	return err
}

// Delivered reports whether a target has a notice.
func (o Outbox) Delivered(ctx context.Context, target, name string) (bool, error) {
	_, err := o.read(ctx, "delivered", target, name)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// ErrClaimed says that another process sends to the target just now, or died while it did. Try
// again later.
var ErrClaimed = errors.New("claimed by another process")

// Claim makes this process the one that sends to a target, until Release or for the time of the
// lease; ErrClaimed if another process is.
//
// Each claimant writes a claim of its own and then looks for others; it withdraws if it sees a live
// one. Of two claimants at least one writes before the other looks, so that never both are let in;
// if both withdraw, they try again at other times. A claim that outlived its lease was left by a
// crash, and one that reaches further than two leases was written by a clock that was wrong: both
// are removed. So a crash delays others by a lease at most, and clocks that differ by more than
// that may let two in.
func (o Outbox) Claim(ctx context.Context, target string, lease time.Duration) (*Claim, error) {
	prefix, err := o.prefix("claims", target)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%013d-%s", time.Now().Add(lease).UnixMilli(), rand.Text())
	c := &Claim{o.store, prefix + name + ".json"}
	if err := o.store.objects.Put(ctx, c.key, []byte("{}\n")); err != nil {
		c.withdraw(ctx) // it may have been written all the same
		return nil, err
	}
	live, err := o.otherClaims(ctx, prefix, name, lease)
	if err == nil && live {
		err = fmt.Errorf("%s: %w", target, ErrClaimed)
	}
	if err != nil {
		c.withdraw(ctx)
		return nil, err
	}
	return c, nil
}

// otherClaims reports whether there is a live one, and removes the dead.
func (o Outbox) otherClaims(ctx context.Context, prefix, own string, lease time.Duration) (live bool, err error) {
	now := time.Now()
	for file, err := range o.store.objects.List(ctx, prefix, "") {
		if err != nil {
			return false, err
		}
		digits, _, _ := strings.Cut(file, "-")
		until, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || file == own+".json" {
			continue
		}
		if left := time.UnixMilli(until).Sub(now); left > 0 && left <= 2*lease {
			live = true
		} else if err := o.store.objects.Remove(ctx, prefix+file); err != nil {
			return false, err
		}
	}
	return live, nil
}

// Claim is the right to send to a target.
type Claim struct {
	store *Store
	key   string
}

// Release gives the right back. If that fails it ends with the lease.
func (c *Claim) Release(ctx context.Context) error { return c.store.objects.Remove(ctx, c.key) }

// withdraw removes a claim that is of no use, even when the caller has been told to stop: it would
// hold up others for a lease.
func (c *Claim) withdraw(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = c.Release(ctx)
}
