package reload

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// every is how often a file is looked at, at most.
	every = time.Second
	// maxBytes bounds a file: lists of revoked certificates are the largest.
	maxBytes = 16 << 20
)

// Files are some files and what they hold, as of about now. It may be used by several goroutines.
type Files[T any] struct {
	paths  []string
	parse  func(contents [][]byte) (T, error)
	failed func(error)
	every  time.Duration

	mu     sync.Mutex
	looked time.Time
	asked  uint64        // what askedFor was when the files were looked at
	seen   []os.FileInfo // as they were when read
	value  T             // the last that could be read
	err    error         // of the newest contents
}

// askedFor counts the calls of Now.
var askedFor atomic.Uint64

// Now has all files of the process read again when they are used next, whether or not they look
// changed.
func Now() { askedFor.Add(1) }

// New reads files. It returns an error if they cannot be read or parsed at first. Failed is called
// for each other error later.
func New[T any](parse func(contents [][]byte) (T, error), failed func(error), paths ...string) (*Files[T], error) {
	f := &Files[T]{paths: paths, parse: parse, failed: failed, every: every}
	f.asked = askedFor.Load()
	f.read()
	f.looked = time.Now()
	return f, f.err
}

// Get returns what the files hold. With an error, which is of their newest contents, comes the last
// value that could be read.
func (f *Files[T]) Get() (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := askedFor.Load()
	if now := time.Now(); asked != f.asked || now.Sub(f.looked) >= f.every {
		if asked != f.asked || f.haveChanged() {
			before := f.err
			f.read()
			if f.err != nil && (before == nil || before.Error() != f.err.Error()) {
				f.failed(f.err)
			}
		}
		f.looked, f.asked = now, asked
	}
	return f.value, f.err
}

// haveChanged reports whether the files may have other contents than when they were read. What
// could not be read may always have.
func (f *Files[T]) haveChanged() bool {
	if f.err != nil {
		return true
	}
	for i, path := range f.paths {
		now, err := os.Stat(path)
		was := f.seen[i]
		if err != nil || !os.SameFile(now, was) || now.Size() != was.Size() || !now.ModTime().Equal(was.ModTime()) {
			return true
		}
	}
	return false
}

func (f *Files[T]) read() {
	contents, seen := make([][]byte, len(f.paths)), make([]os.FileInfo, len(f.paths))
	for i, path := range f.paths {
		if contents[i], seen[i], f.err = ReadFile(path, maxBytes); f.err != nil {
			return
		}
	}
	value, err := f.parse(contents)
	if f.err = err; err == nil {
		f.value, f.seen = value, seen
	}
}

// ReadFile returns the contents of a regular file of at most a number of bytes, and what it was
// like before they were read. It does not wait: a named pipe may never have a writer.
func ReadFile(path string, limit int64) ([]byte, os.FileInfo, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is no regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return data, info, err
}
