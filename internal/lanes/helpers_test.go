package lanes

import (
	"math/rand/v2"
	"testing"

	"lukechampine.com/blake3"
)

// use switches to a path until the end of the test. Tests that do so are not parallel.
func use(t testing.TB, path string) {
	t.Helper()
	before := Path()
	if err := Use(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Use(before); err != nil {
			t.Fatal(err)
		}
	})
}

// eachPath runs a test on every path that the machine can run, one after the other.
func eachPath(t *testing.T, test func(t *testing.T)) {
	for _, path := range Paths() {
		t.Run(path, func(t *testing.T) {
			use(t, path)
			test(t)
		})
	}
}

// source returns a source of random bytes that are the same in each run.
func source(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

// fill sets b to random bytes. Read of a ChaCha8 is documented to return no error.
func fill(r *rand.ChaCha8, b []byte) { _, _ = r.Read(b) }

// random returns n bytes that are the same in each run.
func random(n int) []byte {
	b := make([]byte, n)
	fill(source(1), b)
	return b
}

// padded returns n random messages of msgLen bytes, one each stride bytes, with zeros up to the end
// of the last block of each.
func padded(r *rand.ChaCha8, n, stride, msgLen int) []byte {
	b := make([]byte, n*stride)
	fill(r, b)
	for i := range n {
		clear(b[i*stride+msgLen : i*stride+blocks(msgLen)])
	}
	return b
}

// hashAt returns what the hash of the message at b[off:] has to be, from an independent
// implementation.
func hashAt(b []byte, off, msgLen int) [Size]byte { return blake3.Sum256(b[off:][:msgLen]) }
