package writeonce

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/ktaudit/ktaudit/internal/localdisk"
)

// ErrExists is what creating an object returns when the key is taken. Who took it is not known: it
// may have been an earlier attempt of the same write, whose reply was lost. The caller reads the
// object back.
var ErrExists = errors.New("object exists")

// ErrNotFound says that there is no object under a key. It is certain on local disk, and on every
// store that does not answer "not found" for "not allowed" too.
var ErrNotFound = errors.New("no such object")

// NotAnObjectError says that what stands in an object's place on local disk is no regular file.
type NotAnObjectError struct{ *localdisk.NotPlainError }

func (e *NotAnObjectError) Unwrap() error { return e.NotPlainError }

// Objects are created once, whole, and stay; only what stands elsewhere is replaced. There are two
// kinds: a cloud or memory bucket, whose service decides who created an object, and a folder on
// local disk. Keys have three parts or more.
type Objects interface {
	// Put creates an object of a few bytes. It retries what may pass.
	Put(ctx context.Context, key string, data []byte) error
	// Mark creates an object without bytes, of which only the name counts.
	Mark(ctx context.Context, key string) error
	// Create starts an object that is written in pieces and does not exist until it is committed.
	Create(ctx context.Context, key string) (Draft, error)
	// Replace writes an object whether or not there is one: readers see the one or the other,
	// whole. It is for mirrors of what stands elsewhere, on which nobody relies.
	Replace(ctx context.Context, key string, data []byte) error
	// Open returns an object's bytes and their number, ErrNotFound or a NotAnObjectError.
	Open(ctx context.Context, key string) (io.ReadCloser, int64, error)
	// List yields the names directly under a prefix that ends in "/", in order, those after a name
	// that need not be one. Names of folders end in "/".
	List(ctx context.Context, prefix, after string) iter.Seq2[string, error]
	// Entries yields the objects directly under a prefix that ends in "/", in order, with what a
	// listing says of them.
	Entries(ctx context.Context, prefix string) iter.Seq2[Entry, error]
	// Remove takes an object away; one that is not there is no error. A power failure may bring it
	// back.
	Remove(ctx context.Context, key string) error
	// TryWrite returns nil if objects can be created.
	TryWrite(ctx context.Context) error
	// Ping returns nil if the store is there and answers.
	Ping(ctx context.Context) error
	Close() error
}

// Entry is what a listing says of an object.
type Entry struct {
	Name     string
	Size     int64
	Modified time.Time // by the clock of the service or file server
}

// Draft is an object being written. It ends with either Commit or Abort.
type Draft interface {
	io.Writer
	Commit() error
	Abort()
}
