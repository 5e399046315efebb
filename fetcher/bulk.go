package fetcher

import (
	"strconv"
	"strings"

	"gocloud.dev/blob"
)

// Bulk takes what a listing of many objects says of some epochs, so that they need not be
// located one by one.
type Bulk struct{ epochs map[uint64]*under }

// under is what is listed under one epoch.
type under struct {
	claims
	objects int
}

// NewBulk is for the given epochs.
func NewBulk(epochs []uint64) *Bulk {
	l := &Bulk{make(map[uint64]*under, len(epochs))}
	for _, epoch := range epochs {
		l.epochs[epoch] = &under{claims: claims{epoch: epoch}}
	}
	return l
}

// Add takes in some objects of the log directory. Those of other epochs are passed over.
func (l *Bulk) Add(page []*blob.ListObject) {
	for _, o := range page {
		folder, _, _ := strings.Cut(o.Key, "/")
		epoch, err := strconv.ParseUint(folder, 10, 64)
		if err != nil || !strings.HasPrefix(o.Key, prefixOf(epoch)) {
			continue
		}
		if u := l.epochs[epoch]; u != nil {
			if u.objects++; u.objects <= maxKeys {
				u.add(o)
			}
		}
	}
}

// Object is what Locate would return of one of the epochs. That nothing is listed is a
// *NotPublishedError, but one that says nothing of whose answer it is.
func (l *Bulk) Object(epoch uint64) (Object, error) {
	u := l.epochs[epoch]
	if u == nil {
		return Object{}, &NotPublishedError{Epoch: epoch}
	}
	object, err := u.object(u.objects > maxKeys)
	if err == nil && object.Key == "" {
		err = &NotPublishedError{Epoch: epoch}
	}
	return object, err
}
