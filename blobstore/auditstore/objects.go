package auditstore

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// errExists is what creating an object returns when the key is taken. Who took it is not known: it
// may have been an earlier attempt of the same write, whose reply was lost. The caller reads the
// object back.
var errExists = errors.New("object exists")

// objects is what the audit store needs of a bucket: objects that are created once, whole, and
// stay. There are two: a cloud or memory bucket, whose service decides who created an object, and a
// folder on local disk.
type objects interface {
	// put creates an object of a few bytes. It retries what may pass.
	put(ctx context.Context, key string, data []byte) error
	// create starts an object that is written in pieces and does not exist until it is committed.
	create(ctx context.Context, key string) (draft, error)
	// open returns an object's bytes and their number, or ErrNotFound.
	open(ctx context.Context, key string) (io.ReadCloser, int64, error)
	// list yields the names directly under a prefix that ends in "/", in order, those after a name
	// that need not be one. Names of folders end in "/".
	list(ctx context.Context, prefix, after string) iter.Seq2[string, error]
	// entries yields the objects directly under a prefix that ends in "/", in order, with what a
	// listing says of them.
	entries(ctx context.Context, prefix string) iter.Seq2[entry, error]
	// remove takes an object away; one that is not there is no error. A power failure may bring it
	// back.
	remove(ctx context.Context, key string) error
	// tryWrite returns nil if objects can be created.
	tryWrite(ctx context.Context) error
	// ping returns nil if the store is there and answers.
	ping(ctx context.Context) error
	close() error
}

// entry is what a listing says of an object.
type entry struct {
	name     string
	size     int64
	modified time.Time // by the clock of the service or file server
}

// draft is an object being written. It ends with either commit or abort.
type draft interface {
	io.Writer
	commit() error
	abort()
}
