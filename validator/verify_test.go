package validator

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/ktaudit/ktaudit/verdict"
)

// TestReadersFaultsAreNotVerdicts: a proof that could not be read is not judged, and the error
// wraps the cause.
func TestReadersFaultsAreNotVerdicts(t *testing.T) {
	t.Parallel()
	p := readProofs(t, "whatsapp-v1/log")[3]
	fault := errors.New("connection reset")
	for _, cut := range []int{0, 1, 100, len(p.data) / 2, len(p.data) - 1, len(p.data)} {
		for _, want := range []error{fault, io.ErrUnexpectedEOF, context.DeadlineExceeded} {
			r := io.MultiReader(bytes.NewReader(p.data[:cut]), iotest.ErrReader(want))
			got, err := Verify(context.Background(), p.name, r, WhatsAppV1(), Options{})
			if !errors.Is(err, want) || got != (Result{}) {
				t.Errorf("cut at %d: %+v, %v", cut, got, err)
			}
		}
	}
	if _, err := Verify(context.Background(), p.name, stuck{}, WhatsAppV1(), Options{}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that makes no progress: %v", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestAnyReadSizeGivesTheSameVerdict(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"encoding", "malformed"} {
		for _, p := range readProofs(t, folder) {
			whole := verify(t, p.name, p.data, WhatsAppV1())
			got, err := Verify(context.Background(), p.name, iotest.OneByteReader(bytes.NewReader(p.data)), WhatsAppV1(), Options{})
			if err != nil || got.Outcome != whole.Outcome || got.Reason != whole.Reason || got.Detail != whole.Detail {
				t.Errorf("%s: %+v one byte at a time, %+v whole (%v)", p.path, got, whole, err)
			}
		}
	}
}

// cancelling ends a context once n bytes were read.
type cancelling struct {
	r      io.Reader
	n      int
	cancel func()
}

func (c *cancelling) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if c.n -= n; c.n <= 0 {
		c.cancel()
	}
	return n, err
}

func TestContextEndsVerification(t *testing.T) {
	t.Parallel()
	for _, p := range readProofs(t, "whatsapp-v1/medium") {
		for _, n := range []int{0, 1000, len(p.data) / 2, len(p.data)} {
			ctx, cancel := context.WithCancel(context.Background())
			got, err := Verify(ctx, p.name, &cancelling{bytes.NewReader(p.data), n, cancel}, WhatsAppV1(), Options{})
			if err != context.Canceled || got != (Result{}) {
				t.Errorf("cancelled after %d bytes: %+v, %v", n, got, err)
			}
			cancel()
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	p := readProofs(t, "whatsapp-v1/log")[3]
	whole := verify(t, p.name, p.data, WhatsAppV1())
	elements := whole.Inserted + whole.Unchanged
	for _, c := range []struct {
		name    string
		options Options
		want    verdict.Reason
	}{
		{"elements at the limit", Options{MaxElements: elements}, ""},
		{"one element too many", Options{MaxElements: elements - 1}, verdict.BatchTooLarge},
		{"bytes at the limit", Options{MaxBytes: whole.Bytes}, ""},
		{"one byte too many", Options{MaxBytes: whole.Bytes - 1}, verdict.BatchTooLarge},
	} {
		got, err := Verify(context.Background(), p.name, bytes.NewReader(p.data), WhatsAppV1(), c.options)
		if err != nil || got.Reason != c.want {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

// padded is an element with an unknown field of n bytes in it.
func padded(n int) []byte {
	r := rand.New(rand.NewPCG(5, 5))
	plain := appendElement(nil, randomLeaves(r, 1, 0)[0], make([]byte, 3))[2:]
	body := append(append([]byte{0x1a}, varint(n)...), make([]byte, n)...)
	body = append(body, plain...)
	return append(append([]byte{0x12}, varint(len(body))...), body...)
}

func varint(n int) []byte {
	var b []byte
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

func TestPaddedElements(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]verdict.Reason{10: verdict.PreviousDigestMismatch, 60 << 10: verdict.PreviousDigestMismatch, 64 << 10: verdict.BatchTooLarge, 5 << 20: verdict.BatchTooLarge} {
		if got := verify(t, Name{Epoch: 7}, padded(n), WhatsAppV1()); got.Reason != want {
			t.Errorf("padded by %d: %+v, want %s", n, got, want)
		}
		if got := verify(t, Name{Epoch: 7}, padded(n)[:n], WhatsAppV1()); got.Reason != verdict.MalformedProof {
			t.Errorf("padded by %d and cut: %+v", n, got)
		}
	}
}

// TestNothingIsLeftBehind: proofs of all kinds, one after the other in any order and some of them
// broken off, have the result that each has by itself, whatever memory they share.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	type one struct {
		proofFile
		configuration Configuration
		want          Result
	}
	var all []one
	var proofs []proofFile
	for _, folder := range []string{"whatsapp-v1/log", "experimental/log", "encoding", "malformed"} {
		proofs = append(proofs, readProofs(t, folder)...)
	}
	for _, p := range proofs {
		for _, c := range []Configuration{WhatsAppV1(), Experimental("ExampleLabel")} {
			if len(p.data) < 1<<20 {
				all = append(all, one{p, c, verify(t, p.name, p.data, c)})
			}
		}
	}
	r := rand.New(rand.NewPCG(12, 1))
	for range 2000 {
		p := all[r.IntN(len(all))]
		if r.IntN(8) == 0 && len(p.data) > 0 {
			ctx, cancel := context.WithCancel(context.Background())
			_, _ = Verify(ctx, p.name, &cancelling{bytes.NewReader(p.data), r.IntN(len(p.data)), cancel}, p.configuration, Options{})
			cancel()
			continue
		}
		if got := verify(t, p.name, p.data, p.configuration); got != p.want {
			t.Fatalf("%s: %+v, want %+v", p.path, got, p.want)
		}
	}
}

// A reader's panic is the caller's, and leaves no worker behind.
func TestReadersPanicLeavesNobodyBehind(t *testing.T) {
	t.Parallel()
	data := crowdless(40_000)
	synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left that waits for ever
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_, _ = Verify(t.Context(), Name{}, io.MultiReader(bytes.NewReader(data), panicking{}), WhatsAppV1(), Options{Workers: 2})
	})
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("of the reader") }

// crowdless returns an encoded proof of n unchanged elements in label order, in many buckets.
func crowdless(n int) []byte {
	elements := make([]refElement, n)
	for i := range elements {
		elements[i].bits = 256
		binary.BigEndian.PutUint64(elements[i].label[:], uint64(i)*(1<<63/uint64(n))*2)
	}
	return encode(elements)
}
