package auditstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// Ping returns nil if the audit store is there and answers a read. It costs one small request. On
// local disk it may hang as long as the file system does, whatever ctx says.
func (s *Store) Ping(ctx context.Context) error { return s.objects.ping(ctx) }

// CheckWritable returns nil if the audit store takes a write, and ErrReadOnly if it refuses one. It
// leaves no more behind than the first write would.
func (s *Store) CheckWritable(ctx context.Context) error {
	err := s.objects.tryWrite(ctx)
	if gcerrors.Code(err) == gcerrors.PermissionDenied || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		err = fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return err
}

// ErrReadOnly says that the audit store can be read and not written. To retry is of no use; someone
// must grant the right to write.
var ErrReadOnly = errors.New("the audit store refuses to be written")

func (b *bucket) tryWrite(ctx context.Context) error { return b.prove(ctx) }

func (d *disk) tryWrite(context.Context) error {
	f, err := os.CreateTemp(d.root, ".ktaudit-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString("ktaudit asks here whether it may write.\n")
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// ping lists, because a service says of an object in a bucket that is gone what it says of an
// object that is.
func (b *bucket) ping(ctx context.Context) error {
	if _, _, err := b.ListPage(ctx, blob.FirstPageToken, 1, nil); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	return nil
}

func (d *disk) ping(context.Context) error {
	info, err := os.Stat(d.root)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a folder", d.root)
	}
	return err
}
