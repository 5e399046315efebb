package canary

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/ktaudit/ktaudit/validator"
)

// MaxProof is the largest proof, in bytes, that is damaged. It bounds the memory of a test, which
// no budget is asked for: a few MB, as there is one test at a time.
const MaxProof = 1 << 20

// Judge is validator.Verify, or what a test has in its place.
type Judge func(context.Context, validator.Name, io.Reader, validator.Configuration, validator.Options) (validator.Result, error)

// BrokenError says that the judge has verified a damaged proof, so that none of its verdicts can be
// trusted.
type BrokenError struct {
	Epoch  uint64 // 0 if it was the reference proof
	Damage string
}

func (e *BrokenError) Error() string {
	of := fmt.Sprintf("epoch %d's proof", e.Epoch)
	if e.Epoch == 0 {
		of = "the built-in proof"
	}
	return fmt.Sprintf("%s %s, and was judged wrongly: this process judges no more, as none of its verdicts could be trusted; "+
		"suspect the machine's memory or processor, or a defect of ktaudit: audit on another machine, and run reverify there over what this one has verified", of, e.Damage)
}

// Canary tests a judge. It may be used by any number of goroutines. A nil *Canary tests nothing.
type Canary struct {
	judge Judge
	every uint64
	epoch atomic.Uint64 // so many were offered

	one    sync.Mutex // test at a time
	broken atomic.Pointer[BrokenError]
}

// New returns a canary that chooses one of so many epochs, the first one included. With 0 it
// returns nil.
func New(every int, judge Judge) *Canary {
	if every <= 0 {
		return nil
	}
	return &Canary{judge: judge, every: uint64(every)}
}

// Choose reports whether the next epoch is one to test with.
func (c *Canary) Choose() bool { return c != nil && (c.epoch.Add(1)-1)%c.every == 0 }

// Broken returns a *BrokenError once a damaged proof was verified.
func (c *Canary) Broken() error {
	if c == nil {
		return nil
	}
	if broken := c.broken.Load(); broken != nil {
		return broken
	}
	return nil
}

// Test damages a proof that was verified and has it judged. An error is a *BrokenError, or says why
// nothing could be tested.
func (c *Canary) Test(ctx context.Context, name validator.Name, proof []byte, configuration validator.Configuration) error {
	c.one.Lock()
	defer c.one.Unlock()
	elements, err := decode(ctx, proof)
	if err != nil {
		return fmt.Errorf("epoch %d: a verified proof cannot be read again: %w", name.Epoch, err)
	}
	if len(elements) == 0 {
		return c.testReference(ctx, configuration)
	}
	return c.test(ctx, name, name.Epoch, elements, configuration)
}

// TestReference tests with a built-in proof of the configuration's kind: the only way before any
// was verified, or where all are large.
func (c *Canary) TestReference(ctx context.Context, configuration validator.Configuration) error {
	if c == nil {
		return nil
	}
	c.one.Lock()
	defer c.one.Unlock()
	return c.testReference(ctx, configuration)
}

func (c *Canary) testReference(ctx context.Context, of validator.Configuration) error {
	name, proof, configuration := reference(of)
	result, err := c.judge(ctx, name, bytes.NewReader(proof), configuration, validator.Options{})
	if err != nil {
		return err
	}
	if result.Outcome != validator.Verified {
		return c.breaks(0, "is right")
	}
	elements, err := decode(ctx, proof)
	if err != nil {
		return err
	}
	return c.test(ctx, name, 0, elements, configuration)
}

// test has two damaged copies judged. The limits are the judge's own, which no proof of MaxProof
// bytes reaches.
func (c *Canary) test(ctx context.Context, name validator.Name, epoch uint64, elements []element, configuration validator.Configuration) error {
	at, bit := rand.IntN(len(elements)), rand.IntN(8*validator.DigestSize)
	for _, d := range []struct {
		proof  func() []byte
		damage string
	}{
		{func() []byte { return encodeFlipped(elements, at, bit) }, fmt.Sprintf("was damaged: bit %d of the value of element %d flipped", bit, at)},
		{func() []byte { return encodeTwice(elements, at) }, fmt.Sprintf("was damaged: element %d listed twice", at)},
	} {
		result, err := c.judge(ctx, name, bytes.NewReader(d.proof()), configuration, validator.Options{})
		switch {
		case err != nil:
			return fmt.Errorf("epoch %d: judging a damaged proof: %w", epoch, err)
		case result.Outcome != validator.Rejected:
			return c.breaks(epoch, d.damage)
		}
	}
	return nil
}

// breaks ends the judging. The first reason stays.
func (c *Canary) breaks(epoch uint64, damage string) error {
	broken := &BrokenError{epoch, damage}
	c.broken.CompareAndSwap(nil, broken)
	return broken
}
