package auditstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"gocloud.dev/gcerrors"
)

// Ping returns nil if the audit store is there and answers a read. It costs one small request. On
// local disk it may hang as long as the file system does, whatever ctx says.
func (s *Store) Ping(ctx context.Context) error { return s.objects.Ping(ctx) }

// CheckWritable returns nil if the audit store takes a write, and ErrReadOnly if it refuses one. It
// leaves no more behind than the first write would.
func (s *Store) CheckWritable(ctx context.Context) error {
	err := s.objects.TryWrite(ctx)
	if gcerrors.Code(err) == gcerrors.PermissionDenied || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		err = fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return err
}

// ErrReadOnly says that the audit store can be read and not written. To retry is of no use; someone
// must grant the right to write.
var ErrReadOnly = errors.New("the audit store refuses to be written")
