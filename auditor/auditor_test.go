package auditor_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob/memblob"
)

const namespace = "log"

func newStore(t *testing.T) *auditstore.Store {
	t.Helper()
	s := auditstore.New(memblob.OpenBucket(nil))
	t.Cleanup(func() { s.Close() })
	return s
}

func keyOf(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

// sameID returns another key whose public key ends with the same byte.
func sameID(key ed25519.PrivateKey) ed25519.PrivateKey {
	last := ed25519.PublicKeySize - 1
	for i := uint16(0); ; i++ {
		seed := [ed25519.SeedSize]byte{0xee, byte(i), byte(i >> 8)}
		other := ed25519.NewKeyFromSeed(seed[:])
		if other.Public().(ed25519.PublicKey)[last] == key.Public().(ed25519.PublicKey)[last] {
			return other
		}
	}
}

func digestOf(n uint64) [32]byte { return [32]byte{byte(n), byte(n >> 8), 0xff} }

func hexOf(digest [32]byte) string { return hex.EncodeToString(digest[:]) }

// open returns an auditor of its own, as another replica would have; change may alter its
// configuration.
func open(t *testing.T, store *auditstore.Store, change func(*auditor.Config)) *auditor.Auditor {
	t.Helper()
	c := auditor.Config{
		Namespace: namespace, Store: store, Keys: []auditor.Key{{Signer: keyOf(1)}}, Ciphersuite: signature.CiphersuiteProtobuf,
		Conflict: func(context.Context, auditor.Conflict) error { return nil },
	}
	if change != nil {
		change(&c)
	}
	a, err := auditor.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func sign(t *testing.T, a *auditor.Auditor, epoch uint64) []byte {
	t.Helper()
	data, err := a.Sign(t.Context(), epoch, digestOf(epoch))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// What is signed verifies under the auditor's key, and says the same to whoever asks again.
func TestSigned(t *testing.T) {
	t.Parallel()
	for _, suite := range []uint32{signature.CiphersuiteProtobuf, signature.CiphersuiteBincode} {
		store := newStore(t)
		a := open(t, store, func(c *auditor.Config) { c.Ciphersuite = suite })
		keys, err := signature.ParseKeys([]string{a.Keys()[0].Public()})
		if err != nil {
			t.Fatal(err)
		}
		var previous signature.SignedDigest
		for epoch := uint64(998); epoch < 1003; epoch++ {
			data := sign(t, a, epoch)
			s, err := signature.Parse(data)
			err = errors.Join(err, keys.Verify(s), signature.Check(s, namespace, epoch, digestOf(epoch)), signature.CheckOrder(previous, s))
			if err != nil || s.Ciphersuite != suite {
				t.Errorf("%s: %v", data, err)
			}
			previous = s
			again := sign(t, open(t, store, nil), epoch)
			read, err := open(t, store, nil).Signed(t.Context(), epoch)
			if err != nil || !bytes.Equal(again, data) || !bytes.Equal(read, data) {
				t.Errorf("epoch %d: %s, then %s and %s, %v", epoch, data, again, read, err)
			}
		}
		if last, ok, err := a.Last(t.Context()); err != nil || !ok || last != 1002 {
			t.Errorf("last: %d, %v, %v", last, ok, err)
		}
	}
}

func TestNothingSigned(t *testing.T) {
	t.Parallel()
	a := open(t, newStore(t), nil)
	if _, ok, err := a.Last(t.Context()); ok || err != nil {
		t.Errorf("last: %v, %v", ok, err)
	}
	if _, err := a.Signed(t.Context(), 7); !errors.Is(err, auditor.ErrNotSigned) {
		t.Errorf("signed: %v", err)
	}
}

// What is refused is refused for its own reason, and changes nothing.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*auditor.Config)
		epoch  uint64
		digest [32]byte
		want   string
	}{
		{"another digest", nil, 6, digestOf(9), "digest " + hexOf(digestOf(9)) + " was posted, and " + hexOf(digestOf(6)) + " is signed"},
		{"a gap", nil, 9, digestOf(9), "post epoch 8 next"},
		{"a digest of before", nil, 8, digestOf(6), "its digest is that of epoch 6"},
		{"the digest before", nil, 8, digestOf(7), "its digest is that of epoch 7"},
		{"before the start", nil, 4, digestOf(4), "signing begins at epoch 5"},
		{"an epoch that is none", nil, 1_000_000_000_000, digestOf(4), "epoch"},
		{"another root", func(c *auditor.Config) { c.Root = verdict.Anchor{Epoch: 6, Digest: hexOf(digestOf(6))} }, 8, digestOf(8), "a root cannot be changed"},
		{"before any key", func(c *auditor.Config) { c.Keys[0].NotBefore = time.Now().Add(time.Hour) }, 8, digestOf(8), "no signing key is in use"},
		{"a key that never signed", func(c *auditor.Config) { c.Keys[0].Signer = keyOf(2) }, 8, digestOf(8), "no trusted key"},
		{"a clock that is slow", func(c *auditor.Config) { c.Now = func() time.Time { return time.Now().Add(-2 * time.Minute) } }, 8, digestOf(8), "clock is off"},
		{"a clock that is fast", func(c *auditor.Config) { c.Now = func() time.Time { return time.Now().Add(2 * time.Minute) } }, 8, digestOf(8), "clock is off"},
		{"an epoch without a verdict", func(c *auditor.Config) { c.Verified = true }, 8, digestOf(8), "no verdict yet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := newStore(t)
			for epoch := uint64(5); epoch < 8; epoch++ {
				sign(t, open(t, store, nil), epoch)
			}
			_, err := open(t, store, c.change).Sign(t.Context(), c.epoch, c.digest)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			sign(t, open(t, store, nil), 8)
		})
	}
}

func TestRoot(t *testing.T) {
	t.Parallel()
	rooted := func(c *auditor.Config) { c.Root = verdict.Anchor{Epoch: 5, Digest: hexOf(digestOf(5))} }
	a := open(t, newStore(t), rooted)
	for _, p := range []struct {
		epoch, digest uint64
	}{{4, 4}, {5, 6}, {6, 6}} {
		_, err := a.Sign(t.Context(), p.epoch, digestOf(p.digest))
		_, root := errors.AsType[*auditor.RootError](err)
		gap, isGap := errors.AsType[*auditor.GapError](err)
		if !root && !(isGap && gap.Expected == 5) {
			t.Errorf("epoch %d: %v", p.epoch, err)
		}
	}
	sign(t, a, 5)
	sign(t, a, 6)
}

// A conflict is told only once it is on record, and each time.
func TestConflict(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	var found []auditor.Conflict
	broken := errors.New("the store is gone")
	a := open(t, store, func(c *auditor.Config) {
		c.Conflict = func(_ context.Context, conflict auditor.Conflict) error {
			found = append(found, conflict)
			if len(found) == 1 {
				return broken
			}
			return nil
		}
	})
	signed := sign(t, a, 5)
	_, err := a.Sign(t.Context(), 5, digestOf(6))
	if _, told := errors.AsType[*auditor.ConflictError](err); told || !errors.Is(err, broken) {
		t.Errorf("not recorded: %v", err)
	}
	_, err = a.Sign(t.Context(), 5, digestOf(6))
	if _, told := errors.AsType[*auditor.ConflictError](err); !told {
		t.Errorf("recorded: %v", err)
	}
	want := auditor.Conflict{Epoch: 5, Posted: hexOf(digestOf(6)), Signed: signed}
	for _, c := range found {
		if c.Epoch != want.Epoch || c.Posted != want.Posted || !bytes.Equal(c.Signed, want.Signed) {
			t.Errorf("%+v, want %+v", c, want)
		}
	}
}

// A new key signs from its time on, and goes on after what the old one signed.
func TestRotation(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	now := time.Now()
	at := func(d time.Duration) func(*auditor.Config) {
		return func(c *auditor.Config) {
			c.Now = func() time.Time { return now.Add(d) }
			c.Keys = []auditor.Key{{keyOf(2), now.Add(10 * time.Second)}, {keyOf(1), now.Add(-time.Hour)}}
		}
	}
	var ids []uint8
	for i, d := range []time.Duration{0, 9 * time.Second, 10 * time.Second, 11 * time.Second, 9 * time.Second} {
		s, err := signature.Parse(sign(t, open(t, store, at(d)), uint64(5+i)))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, s.KeyID)
	}
	one, two := keyOf(1)[63], keyOf(2)[63]
	// the last replica's clock is behind, and its signature is not before the one that it follows
	if want := []uint8{one, one, two, two, two}; !slices.Equal(ids, want) {
		t.Errorf("signed by %d, want %d", ids, want)
	}
}

// Signed only if verified: with the verdict's digest, and by the verdict that counts.
func TestVerifiedOnly(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	a := open(t, store, func(c *auditor.Config) { c.Verified = true })
	v := jobstest.GoodVerdict(5)
	v.Namespace, v.Digest = namespace, hexOf(digestOf(5))
	if _, _, err := store.PutVerdict(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	_, err := a.Sign(t.Context(), 5, digestOf(6))
	if conflict, ok := errors.AsType[*auditor.ConflictError](err); !ok || conflict.Signed != hexOf(digestOf(5)) {
		t.Errorf("another digest than was verified: %v", err)
	}
	sign(t, a, 5)
	if _, err := a.Sign(t.Context(), 6, digestOf(6)); !errors.Is(err, auditor.ErrNotVerified) {
		t.Errorf("not judged: %v", err)
	}
	v = jobstest.RejectedVerdict(6)
	v.Namespace, v.Digest = namespace, hexOf(digestOf(6))
	if _, _, err := store.PutVerdict(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Sign(t.Context(), 6, digestOf(6)); !errors.Is(err, auditor.ErrNotVerified) {
		t.Errorf("rejected: %v", err)
	}
}

// Whatever somebody else writes in a signed digest's place is not taken for one.
func TestForeignObjects(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"no JSON": "x", "another epoch": string(sign(t, open(t, newStore(t), nil), 9)), "nothing": "",
	} {
		store := newStore(t)
		sign(t, open(t, store, nil), 5)
		if _, err := store.Folder(namespace, "signed").Put(t.Context(), []byte(content), "000000000", fmt.Sprintf("%012d", 6)); err != nil {
			t.Fatal(err)
		}
		for _, epoch := range []uint64{6, 7} {
			if _, err := open(t, store, nil).Sign(t.Context(), epoch, digestOf(epoch)); !errors.Is(err, auditstore.ErrCorrupt) {
				t.Errorf("%s: epoch %d: %v", name, epoch, err)
			}
		}
		if _, err := open(t, store, nil).Signed(t.Context(), 6); !errors.Is(err, auditstore.ErrCorrupt) {
			t.Errorf("%s: read: %v", name, err)
		}
	}
}

// Replicas and clients race on each epoch, with digests of their own now and then.
func TestReplicasRace(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	const replicas, epochs = 8, 30
	var mu sync.Mutex
	answers := map[uint64][]byte{}
	var wait sync.WaitGroup
	for r := range replicas {
		a := open(t, store, nil)
		wait.Go(func() {
			for epoch := uint64(1); epoch <= epochs; {
				digest := digestOf(epoch)
				if r%4 == 3 {
					digest = digestOf(epoch + 1000)
				}
				data, err := a.Sign(t.Context(), epoch, digest)
				_, conflict := errors.AsType[*auditor.ConflictError](err)
				_, root := errors.AsType[*auditor.RootError](err)
				_, gap := errors.AsType[*auditor.GapError](err)
				switch {
				case gap || root:
					continue // the others are not there yet, or this one had no part in the start
				case err != nil && !conflict:
					t.Errorf("epoch %d: %v", epoch, err)
					return
				case err == nil:
					mu.Lock()
					if before, ok := answers[epoch]; ok && !bytes.Equal(before, data) {
						t.Errorf("epoch %d: %s and %s", epoch, before, data)
					}
					answers[epoch] = data
					mu.Unlock()
				}
				epoch++
			}
		})
	}
	wait.Wait()
	if len(answers) != epochs {
		t.Errorf("%d epochs were answered, want %d", len(answers), epochs)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*auditor.Config){
		"no signing key":   func(c *auditor.Config) { c.Keys = nil },
		"two signing keys": func(c *auditor.Config) { c.Keys = append(c.Keys, c.Keys[0]) },
		"the key_id": func(c *auditor.Config) {
			c.Keys = append(c.Keys, auditor.Key{Signer: sameID(keyOf(1)), NotBefore: time.Unix(1, 0)})
		},
		"namespace":            func(c *auditor.Config) { c.Namespace = "../a" },
		"no audit store":       func(c *auditor.Config) { c.Store = nil },
		"ciphersuite 3":        func(c *auditor.Config) { c.Ciphersuite = 3 },
		"digest":               func(c *auditor.Config) { c.Root = verdict.Anchor{Epoch: 5, Digest: "ab"} },
		"that records conflic": func(c *auditor.Config) { c.Conflict = nil },
	} {
		c := auditor.Config{Namespace: namespace, Store: newStore(t), Keys: []auditor.Key{{Signer: keyOf(1)}}, Ciphersuite: 1,
			Conflict: func(context.Context, auditor.Conflict) error { return nil }}
		change(&c)
		if _, err := auditor.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
