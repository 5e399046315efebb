package fetcher

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// FuzzRanges is TestRandomFaults for other faults.
func FuzzRanges(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 0, 10, 2, 1, 0, 3, 0, 0, 4, 0, 0, 5, 0, 0, 6, 0, 0, 7, 0, 0})
	f.Add(bytes.Repeat([]byte{1, 200, 0}, 40))
	f.Add(bytes.Repeat([]byte{4, 0, 0}, 40))
	f.Fuzz(func(t *testing.T, script []byte) { wantWholeDespite(t, script) })
}

// Whatever a server does to requests, an object that is fetched in ranges is what is fetched with
// one request that goes well, or an error that rejects nothing.
func TestRandomFaults(t *testing.T) {
	t.Parallel()
	whole := 0
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 49))
		script := random(3*r.IntN(60), seed)
		for i := 0; i < len(script); i += 3 {
			if r.IntN(3) > 0 { // else too few go well
				script[i] = 0
			}
		}
		if wantWholeDespite(t, script) {
			whole++
		}
	}
	if whole < 50 || whole > 550 {
		t.Errorf("%d of 600 went well: this tests next to nothing", whole)
	}
}

// wantWholeDespite fetches an object while requests go wrong by a script, and reports whether that
// went well. Other bytes of the right number, which nothing tells from the right ones, the server
// does not send.
func wantWholeDespite(t *testing.T, script []byte) bool {
	content := random(20_000, 48)
	o := Options{Ranges: 1 + len(script)%5, rangeSize: 1 << (10 + len(script)%4), MaxAttempts: 3, Backoff: time.Nanosecond}
	var mu sync.Mutex
	b := one(content, func(int, int64) fault {
		mu.Lock()
		defer mu.Unlock()
		if len(script) < 3 {
			return fault{}
		}
		kind, n := script[0], int(binary.LittleEndian.Uint16(script[1:]))
		script = script[3:]
		claimed := int64(len(content) * (n % 2))
		switch kind % 8 {
		case 1:
			return fault{cut: n, end: io.EOF}
		case 2:
			return fault{cut: n, end: errServer}
		case 3:
			return fault{open: errServer}
		case 4:
			return fault{restart: true}
		case 5:
			return fault{content: content[:max(1, n%len(content))], size: claimed}
		case 6:
			return fault{content: append(bytes.Clone(content), 1), size: claimed}
		case 7:
			return fault{modTime: time.Unix(int64(n), 0)}
		}
		return fault{}
	})
	var archive bytes.Buffer
	batch := fetch(t, b, o, &archive)
	got, err := io.ReadAll(batch)
	_ = batch.Close()
	switch {
	case err == nil && (!bytes.Equal(got, content) || !bytes.Equal(archive.Bytes(), content)):
		t.Fatalf("%d other bytes", len(got))
	case err != nil && !Transient(err):
		t.Fatal(err)
	case err != nil && !bytes.HasPrefix(content, archive.Bytes()) && !errors.Is(err, ErrChanged):
		t.Fatalf("%d other bytes before %v", archive.Len(), err)
	}
	return err == nil
}
