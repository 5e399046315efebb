package auditor

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
)

// The steps of the signing protocol, in every order that two replicas can take them, with a crash
// after every write (one before it or around a read is as if the replica had come later): whatever
// happens, each epoch has one signed digest and each digest
// one epoch, whoever got an answer got that, and timestamps don't go back.

// model is a ledger in memory whose steps are taken one at a time, by order of a schedule.
type model struct {
	begun   *start
	objects map[uint64][]byte
	claimed map[string]bool // digest and epoch
}

func newModel() *model { return &model{objects: map[uint64][]byte{}, claimed: map[string]bool{}} }

// errCrash ends a replica's work on a post.
var errCrash = errors.New("crash")

// replica is a ledger that waits before each step until the schedule says how it goes on.
type replica struct {
	model *model
	ready chan state
	dies  chan bool // after its step
}

// state is where a replica stands.
type state int

const (
	atRead state = iota
	atWrite
	atEnd
)

func step[T any](r *replica, at state, do func() (T, error)) (T, error) {
	r.ready <- at
	dies := <-r.dies
	result, err := do()
	if dies {
		var none T
		return none, errCrash
	}
	return result, err
}

func (r *replica) start(context.Context) (start, error) {
	return step(r, atRead, func() (start, error) {
		if r.model.begun == nil {
			return start{}, errNotYet
		}
		return *r.model.begun, nil
	})
}

func (r *replica) putStart(_ context.Context, s start) (start, error) {
	return step(r, atWrite, func() (start, error) {
		if r.model.begun == nil {
			r.model.begun = &s
		}
		return *r.model.begun, nil
	})
}

func (r *replica) signed(_ context.Context, epoch uint64) ([]byte, error) {
	return step(r, atRead, func() ([]byte, error) {
		if data, ok := r.model.objects[epoch]; ok {
			return data, nil
		}
		return nil, errNotYet
	})
}

func (r *replica) putSigned(_ context.Context, epoch uint64, data []byte) ([]byte, error) {
	return step(r, atWrite, func() ([]byte, error) {
		if _, ok := r.model.objects[epoch]; !ok {
			r.model.objects[epoch] = data
		}
		return r.model.objects[epoch], nil
	})
}

func (r *replica) claim(_ context.Context, digest string, epoch uint64) error {
	_, err := step(r, atWrite, func() (any, error) { r.model.claimed[fmt.Sprintf("%s %012d", digest, epoch)] = true; return nil, nil })
	return err
}

func (r *replica) claims(_ context.Context, digest string) ([]uint64, error) {
	return step(r, atRead, func() (epochs []uint64, err error) {
		for _, claim := range slices.Sorted(maps.Keys(r.model.claimed)) {
			if text, ok := strings.CutPrefix(claim, digest+" "); ok {
				epoch, _ := verdict.ParseEpochName(text)
				epochs = append(epochs, epoch)
			}
		}
		return epochs, nil
	})
}

// last is no step of its own: who goes by it goes by the next step all the same.
func (r *replica) last(context.Context) (uint64, bool, error) {
	epochs := slices.Sorted(maps.Keys(r.model.objects))
	if len(epochs) == 0 {
		return 0, false, nil
	}
	return epochs[len(epochs)-1], true, nil
}

type post struct {
	epoch  uint64
	digest byte
}

// world plays what some replicas do, each with posts of its own, one after the other.
type world struct {
	t       *testing.T
	root    verdict.Anchor
	begun   *start      // what a replica that crashed left
	clocks  []time.Time // of the replicas
	posts   [][]post
	answers map[uint64][]byte
	refused int
}

func digestOf(b byte) [32]byte { return [32]byte{b, 0xff} }

var testKey = &knownSigner{PrivateKey: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))}

// knownSigner signs each message once, since Ed25519 always makes the same signature of it.
type knownSigner struct {
	ed25519.PrivateKey
	made sync.Map
}

func (k *knownSigner) Sign(random io.Reader, message []byte, o crypto.SignerOpts) ([]byte, error) {
	if made, ok := k.made.Load(string(message)); ok {
		return made.([]byte), nil
	}
	made, err := k.PrivateKey.Sign(random, message, o)
	k.made.Store(string(message), made)
	return made, err
}

// play lets choose say which replica takes the next step, of those that are ready, and whether it
// dies of it.
func (w *world) play(choose func(ready []int, at []state, crashed bool) (who int, dies bool)) string {
	m := newModel()
	m.begun = w.begun
	w.answers, w.refused = map[uint64][]byte{}, 0
	var trace strings.Builder
	replicas := make([]*replica, len(w.posts))
	for i, posts := range w.posts {
		r := &replica{m, make(chan state), make(chan bool)}
		replicas[i] = r
		a := w.auditor(r, w.clocks[i])
		go func() {
			for _, p := range posts {
				for again := true; again; {
					recorded, err := a.Sign(context.Background(), p.epoch, digestOf(p.digest))
					again = errors.Is(err, errCrash) // the replica starts anew, and its client posts again
					if err == nil {
						w.answer(p, recorded)
					} else if !again {
						w.refuse(err)
					}
				}
			}
			r.ready <- atEnd
		}()
	}
	var ready []int
	at := make([]state, len(replicas))
	for i, r := range replicas {
		at[i] = <-r.ready
		ready = append(ready, i)
	}
	crashed := false
	for len(ready) > 0 {
		who, dies := choose(ready, at, crashed)
		crashed = crashed || dies
		fmt.Fprintf(&trace, "%d%c", who, map[bool]rune{false: '·', true: '†'}[dies])
		replicas[who].dies <- dies
		if at[who] = <-replicas[who].ready; at[who] == atEnd {
			ready = slices.DeleteFunc(slices.Clone(ready), func(i int) bool { return i == who })
		}
	}
	w.check(m, trace.String())
	return trace.String()
}

func (w *world) auditor(l ledger, now time.Time) *Auditor {
	keys, err := newKeyring([]Key{{Signer: testKey}})
	if err != nil {
		w.t.Fatal(err)
	}
	c := Config{Namespace: "log", Root: w.root, Ciphersuite: signature.CiphersuiteProtobuf, Keys: keys.keys,
		Conflict: func(context.Context, Conflict) error { return nil }}
	return &Auditor{c: c, keys: keys, ledger: l, clock: func(context.Context) (time.Time, error) { return now, nil }}
}

// Only one replica runs between two steps, so that these need no lock.
func (w *world) answer(p post, recorded []byte) {
	if before, ok := w.answers[p.epoch]; ok && !bytes.Equal(before, recorded) {
		w.t.Errorf("epoch %d: answered with\n%s\nand with\n%s", p.epoch, before, recorded)
	}
	w.answers[p.epoch] = recorded
	if s, err := signature.Parse(recorded); err != nil || s.Digest != digestOf(p.digest) {
		w.t.Errorf("post %+v: answered with %s, %v", p, recorded, err)
	}
}

func (w *world) refuse(err error) {
	_, conflict := errors.AsType[*ConflictError](err)
	_, gap := errors.AsType[*GapError](err)
	_, reused := errors.AsType[*ReusedError](err)
	_, root := errors.AsType[*RootError](err)
	if !conflict && !gap && !reused && !root {
		w.t.Errorf("refused with %v", err)
	}
	w.refused++
}

func (w *world) check(m *model, trace string) {
	digests := map[string]uint64{}
	var timestamp uint64
	epochs := slices.Sorted(maps.Keys(m.objects))
	for i, epoch := range epochs {
		s, err := signature.Parse(m.objects[epoch])
		digest := hex.EncodeToString(s.Digest[:])
		switch other, ok := digests[digest]; {
		case err != nil:
			w.t.Errorf("%s: epoch %d: %v", trace, epoch, err)
		case ok:
			w.t.Errorf("%s: digest of epoch %d is signed for epoch %d, too", trace, other, epoch)
		case s.Timestamp < timestamp:
			w.t.Errorf("%s: timestamp of epoch %d goes back", trace, epoch)
		case i > 0 && epoch != epochs[i-1]+1:
			w.t.Errorf("%s: epochs %d are signed", trace, epochs)
		}
		digests[digest], timestamp = epoch, s.Timestamp
	}
	for epoch, answer := range w.answers {
		if !bytes.Equal(answer, m.objects[epoch]) {
			w.t.Errorf("%s: epoch %d was answered with %s, on record is %s", trace, epoch, answer, m.objects[epoch])
		}
	}
}

// exhaust plays all schedules with at most one crash, and returns how many there are. With the race
// detector it plays the first thousand.
func (w *world) exhaust() (plays int) {
	var path []int // choices, as places in the list of what was possible
	for {
		depth := 0
		var width []int
		w.play(func(ready []int, at []state, crashed bool) (int, bool) {
			options := slices.Clone(ready)
			for _, i := range ready {
				if !crashed && at[i] == atWrite {
					options = append(options, i)
				}
			}
			if depth == len(path) {
				path = append(path, 0)
			}
			choice := path[depth]
			depth++
			width = append(width, len(options))
			return options[choice], choice >= len(ready)
		})
		plays++
		i := len(path) - 1
		for ; i >= 0 && path[i] == width[i]-1; i-- {
		}
		if i < 0 || w.t.Failed() || raceDetector && plays == 1_000 {
			return plays
		}
		path = append(path[:i:i], path[i]+1)
	}
}

var clockNow = time.UnixMilli(1_700_000_000_000)

func worlds() map[string]world {
	behind := clockNow.Add(-30 * time.Second)
	root := verdict.Anchor{Epoch: 5, Digest: hex.EncodeToString(slices.Clone([]byte{1, 0xff, 31: 0}))}
	return map[string]world{
		"the same post twice":           {posts: [][]post{{{5, 1}}, {{5, 1}}}},
		"two digests for one epoch":     {posts: [][]post{{{5, 1}}, {{5, 2}}}, begun: &start{root, true}},
		"two first epochs":              {posts: [][]post{{{5, 1}}, {{9, 2}}}},
		"two first epochs, one digest":  {posts: [][]post{{{5, 1}}, {{6, 1}}}},
		"the next epoch at once":        {posts: [][]post{{{5, 1}}, {{6, 2}}}, root: root},
		"another digest than the root":  {posts: [][]post{{{5, 1}}, {{5, 2}}}, root: root},
		"before the root":               {posts: [][]post{{{5, 1}}, {{4, 2}}}, root: root},
		"a clock that is behind":        {posts: [][]post{{{5, 1}}, {{6, 2}}}, root: root, clocks: []time.Time{clockNow, behind}},
		"a clock behind, the same post": {posts: [][]post{{{5, 1}}, {{5, 1}}}, root: root, clocks: []time.Time{behind, clockNow}},
	}
}

func TestEveryInterleaving(t *testing.T) {
	t.Parallel()
	for name, w := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w.t = t
			if w.clocks == nil {
				w.clocks = []time.Time{clockNow, clockNow}
			}
			t.Logf("%d schedules", w.exhaust())
		})
	}
}

// Longer runs of three replicas with many crashes, whose schedules are too many to play them all.
func TestManyInterleavings(t *testing.T) {
	t.Parallel()
	seeds := uint64(2_000)
	if raceDetector {
		seeds = 100
	}
	for seed := range seeds {
		random := rand.New(rand.NewPCG(seed, 1))
		w := world{t: t, clocks: []time.Time{clockNow, clockNow.Add(-20 * time.Second), clockNow.Add(20 * time.Second)}}
		for range w.clocks {
			var posts []post
			for epoch := uint64(5); epoch < 9; epoch++ {
				digest := byte(epoch)
				if random.IntN(3) == 0 {
					digest = byte(4 + random.IntN(4)) // often that of another epoch
				}
				posts = append(posts, post{epoch, digest})
			}
			w.posts = append(w.posts, posts)
		}
		trace := w.play(func(ready []int, _ []state, _ bool) (int, bool) {
			return ready[random.IntN(len(ready))], random.IntN(8) == 0
		})
		if t.Failed() {
			t.Fatalf("seed %d: %s", seed, trace)
		}
	}
}
