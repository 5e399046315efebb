package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/validator"
)

// The largest batch that the shipped limits allow is verified in the shipped container, whatever
// the order of its elements. Here both are small, if not in proportion: the program itself has its
// part. KTAUDIT_LONG=1 plays it at full size, in about ten minutes. Under the race detector it only
// shows that each is verified; scripts/test runs it without, too.
func TestHostileHugeBatch(t *testing.T) {
	size, container, patience := int64(128<<20), int64(160<<20), 2*time.Minute
	switch {
	case testing.Short():
		t.Skip("it takes half a minute")
	case raceDetector:
		size, container = 4<<20, 8<<20
	case os.Getenv("KTAUDIT_LONG") != "":
		size, container, patience = 2<<30, 2<<30, time.Hour
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("it reads how much memory a process has had from /proc")
	}
	n := uint64(size / elementSize)
	for _, c := range []struct {
		name  string
		batch hugeBatch
		once  bool // it is read
	}{
		{"as logs write it", hugeBatch{n: n, inserted: n / 13}, true},
		{"all inserted, in order", hugeBatch{n: n, inserted: n}, false},
		{"in one subtree, in order", hugeBatch{n: n, inserted: 1, crowded: true}, false},
		{"in no order", hugeBatch{n: n, inserted: n, shuffled: true}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := c.batch.name(t)
			log := jobstest.OpenMemory(t)
			if err := log.WriteAll(t.Context(), name.String(), nil, nil); err != nil {
				t.Fatal(err)
			}
			server := s3listtest.New(t, log)
			server.Pretend(name.String(), c.batch.size())
			const etag = `"1"`
			server.ETags(func(string, string) string { return etag })
			var reads atomic.Int64
			server.Always(s3listtest.Objects("1/", func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodGet {
						reads.Add(1)
					}
					w.Header().Set("Server", "AmazonS3")
					w.Header().Set("ETag", etag)
					http.ServeContent(w, r, "", time.Unix(1e9, 0), c.batch.reader())
				})
			}))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, filepath.Join(binDir, "ktaudit"), "run", "--namespace", "huge", "--from", "1", "--to", "1",
				"--log-directory", server.BucketURL(), "--audit-store", t.TempDir(), "--memory", fmt.Sprintf("%dMiB", container>>21))
			cmd.Env = environment(t.TempDir())
			if !raceDetector {
				cmd.Env = append(cmd.Env, fmt.Sprintf("GOMEMLIMIT=%d", container/10*9)) // as in such a container
			}
			began := time.Now()
			out, peak, err := outputAndPeak(cmd)
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if peak >= container && !raceDetector {
				t.Errorf("it took %d MB of %d", peak>>20, container>>20)
			}
			if !raceDetector && c.once != (reads.Load() == 1) {
				t.Errorf("it was read %d times", reads.Load())
			}
			t.Logf("%d MB, %d elements: %d MB of memory, read %d times, %.1f s", size>>20, n, peak>>20, reads.Load(), time.Since(began).Seconds())
		})
	}
}

// outputAndPeak runs a command and returns the most memory that it had. (What wait(2) says of a
// process includes what its parent had.)
func outputAndPeak(cmd *exec.Cmd) (out []byte, peak int64, err error) {
	var buffer bytes.Buffer
	cmd.Stdout = &buffer
	if cmd.Stderr == nil {
		cmd.Stderr = &buffer
	}
	if err := cmd.Start(); err != nil {
		return nil, 0, err
	}
	ended := make(chan error)
	go func() { ended <- cmd.Wait() }()
	path := fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)
	for {
		select {
		case err := <-ended:
			return buffer.Bytes(), peak, err
		case <-time.After(20 * time.Millisecond):
			if status, err := os.ReadFile(path); err == nil {
				if found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status); found != nil {
					kB, _ := strconv.ParseInt(string(found[1]), 10, 64)
					peak = max(peak, kB<<10)
				}
			}
		}
	}
}

const elementSize = 2 + 2 + 2 + 32 + 3 + 2 + 32

// hugeBatch is a batch that is made while it is read.
type hugeBatch struct {
	n, inserted uint64 // the first ones are inserted
	crowded     bool   // all labels begin alike
	shuffled    bool
}

func (h hugeBatch) size() int64 { return int64(h.n * elementSize) }

func (h hugeBatch) reader() *io.SectionReader { return io.NewSectionReader(h, 0, h.size()) }

// element writes the i-th element. Inserted and unchanged ones are each in label order.
func (h hugeBatch) element(b []byte, i uint64) {
	if h.shuffled {
		const prime = 1_000_000_007
		hi, lo := bits.Mul64(i, prime)
		_, i = bits.Div64(hi, lo, h.n)
	}
	kind, of, place := byte(0x0a), h.inserted, i
	if i >= h.inserted {
		kind, of, place = 0x12, h.n-h.inserted, i-h.inserted
	}
	step := ^uint64(0) / of
	b = append(b, kind, elementSize-2, 0x0a, 2+32+3, 0x0a, 32)
	if h.crowded {
		b = binary.BigEndian.AppendUint64(append(b, 0, 0), place)
		b = append(b, make([]byte, 6)...)
	} else {
		b = binary.BigEndian.AppendUint64(b, place*step)
		b = binary.BigEndian.AppendUint64(b, mix(2*i))
	}
	b = binary.BigEndian.AppendUint64(b, mix(2*i+1))
	b = binary.BigEndian.AppendUint64(b, ^i)
	b = append(b, 0x10, 0x80, 0x02, 0x12, 32)
	for range 4 {
		b = binary.BigEndian.AppendUint64(b, mix(3*i))
	}
}

// mix is splitmix64's.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (h hugeBatch) ReadAt(p []byte, at int64) (n int, err error) {
	var element [elementSize]byte
	for n < len(p) && at < h.size() {
		h.element(element[:0], uint64(at)/elementSize)
		k := copy(p[n:], element[at%elementSize:])
		n, at = n+k, at+int64(k)
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

// name is what an honest log would call the batch: the validator says which digests it has.
func (h hugeBatch) name(t *testing.T) validator.Name {
	t.Helper()
	h.shuffled = false
	name := validator.Name{Epoch: 1}
	open := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(h.reader()), nil }
	for range 2 {
		r, err := validator.VerifyInPasses(t.Context(), name, open, validator.WhatsAppV1(),
			validator.Options{MaxMemory: validator.PassMemory(int(h.n) + 100)})
		found := regexp.MustCompile(`give ([0-9a-f]{64}),`).FindStringSubmatch(r.Detail)
		if err != nil || found == nil {
			t.Fatalf("%+v, %v", r, err)
		}
		digest, err := validator.ParseDigest(found[1])
		if err != nil {
			t.Fatal(err)
		}
		if name.PreviousDigest == (validator.Digest{}) {
			name.PreviousDigest = digest
		} else {
			name.Digest = digest
		}
	}
	return name
}
