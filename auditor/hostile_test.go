package auditor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
)

// A log is not accused of having posted two digests over an object that was damaged, or that
// somebody else signed, nor is a damaged one given to anybody.
func TestNobodyIsAccusedOverAForgedObject(t *testing.T) {
	t.Parallel()
	damage := func(signed []byte) []byte {
		at := bytes.Index(signed, []byte(hexOf(digestOf(6))))
		signed = bytes.Clone(signed)
		signed[at+10] ^= 1
		return signed
	}
	foreign := func(*auditor.Config) {}
	for _, c := range []struct {
		name    string
		change  func(*auditor.Config) // of whoever signed it
		digest  [32]byte
		damage  func([]byte) []byte
		want    error
		damaged bool
	}{
		{"damaged", foreign, digestOf(6), damage, auditstore.ErrCorrupt, true},
		{"another's", func(c *auditor.Config) { c.Keys = []auditor.Key{{Signer: keyOf(9)}} }, digestOf(7), bytes.Clone, signature.ErrUnknownKey, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			other := newStore(t)
			sign(t, open(t, other, c.change), 5)
			signed, err := open(t, other, c.change).Sign(t.Context(), 6, c.digest)
			jobstest.Must(t, err)
			store := newStore(t)
			accused := 0
			a := open(t, store, func(c *auditor.Config) {
				c.Conflict = func(context.Context, auditor.Conflict) error { accused++; return nil }
			})
			sign(t, a, 5)
			_, err = store.Folder(namespace, "signed").Put(t.Context(), c.damage(signed), "000000000", fmt.Sprintf("%012d", 6))
			jobstest.Must(t, err)
			if _, err = a.Sign(t.Context(), 6, digestOf(6)); !errors.Is(err, c.want) || accused > 0 {
				t.Errorf("%v, want %v; the log was accused %d times", err, c.want, accused)
			}
			if advised := strings.Contains(fmt.Sprint(err), "keys that all replicas have"); advised == c.damaged {
				t.Errorf("%v does not say what to do of an unknown key, or says so of damage", err)
			}
			if _, err := a.Signed(t.Context(), 6); c.damaged != errors.Is(err, auditstore.ErrCorrupt) {
				t.Errorf("read: %v", err)
			}
		})
	}
}

// Two first posts for one epoch are a conflict like any other, whether the first was signed yet or
// crashed before that. A start that was configured, perhaps wrongly, accuses nobody.
func TestConflictOfFirstPosts(t *testing.T) {
	t.Parallel()
	rooted := newStore(t)
	_, err := open(t, rooted, func(c *auditor.Config) { c.Root = verdict.Anchor{Epoch: 5, Digest: hexOf(digestOf(5))} }).Sign(t.Context(), 6, digestOf(6))
	if _, gap := errors.AsType[*auditor.GapError](err); !gap {
		t.Errorf("%v", err)
	}
	accuse := func(c *auditor.Config) {
		c.Conflict = func(context.Context, auditor.Conflict) error { t.Error("it is accused"); return nil }
	}
	_, err = open(t, rooted, accuse).Sign(t.Context(), 5, digestOf(6))
	if _, root := errors.AsType[*auditor.RootError](err); !root {
		t.Errorf("%v", err)
	}
	store := newStore(t)
	start := fmt.Appendf(nil, `{"epoch":5,"digest":%q,"posted":true}`, hexOf(digestOf(5)))
	_, err = store.Folder(namespace, "signing").Put(t.Context(), start, "start")
	jobstest.Must(t, err)
	var found []auditor.Conflict
	a := open(t, store, func(c *auditor.Config) {
		c.Conflict = func(_ context.Context, c auditor.Conflict) error { found = append(found, c); return nil }
	})
	_, err = a.Sign(t.Context(), 5, digestOf(6))
	if _, told := errors.AsType[*auditor.ConflictError](err); !told || len(found) != 1 || found[0].Posted != hexOf(digestOf(6)) {
		t.Errorf("%v, recorded: %+v", err, found)
	}
	sign(t, a, 5)
	sign(t, a, 6)
}

// A start that was lost is not made up by the next post.
func TestStartIsLost(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	signed := sign(t, open(t, newStore(t), nil), 5)
	_, err := store.Folder(namespace, "signed").Put(t.Context(), signed, "000000000", fmt.Sprintf("%012d", 5))
	jobstest.Must(t, err)
	for _, epoch := range []uint64{6, 9} {
		if _, err := open(t, store, nil).Sign(t.Context(), epoch, digestOf(epoch)); !errors.Is(err, auditstore.ErrCorrupt) {
			t.Errorf("epoch %d: %v", epoch, err)
		}
	}
	rooted := func(c *auditor.Config) { c.Root = verdict.Anchor{Epoch: 5, Digest: hexOf(digestOf(5))} }
	sign(t, open(t, store, rooted), 6)
	sign(t, open(t, store, nil), 7)
}
