package auditstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/internal/writeonce"
)

// Ping returns nil if the audit store is there and answers a read. It costs one small request. On
// local disk it may hang as long as the file system does, whatever ctx says.
func (s *Store) Ping(ctx context.Context) error { return s.objects.Ping(ctx) }

// CheckWritable returns nil if the audit store takes a write, ErrReadOnly if it refuses one, and
// ErrUnfit if it can never keep verdicts. It leaves no more behind than the first write would.
func (s *Store) CheckWritable(ctx context.Context) error {
	err := s.objects.TryWrite(ctx)
	if !errors.Is(err, ErrUnfit) && blobstore.IsForbidden(err) {
		err = fmt.Errorf("%w: grant the right to create objects, or remount a read-only folder: %w", ErrReadOnly, err)
	}
	return err
}

// NetworkDisk returns the kind of file system, such as "nfs4", if the audit store is a folder on
// another machine's disk.
func (s *Store) NetworkDisk() string {
	if d, ok := s.objects.(*writeonce.Disk); ok {
		return d.NetworkDisk()
	}
	return ""
}

var (
	// ErrReadOnly says that the audit store can be read and not written. To retry is of no use;
	// someone must grant the right to write.
	ErrReadOnly = errors.New("the audit store refuses to be written")
	// ErrUnfit says that what holds the audit store can never keep verdicts: it has no conditional
	// writes, or no hard links. The error says what to do.
	ErrUnfit = writeonce.ErrUnfit
)
