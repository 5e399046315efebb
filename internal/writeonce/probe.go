package writeonce

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/ktaudit/ktaudit/blobstore"
	"gocloud.dev/blob"
)

// ErrUnfit says that a store can never keep objects that are created only once. To retry is of no
// use, and the error says what would be.
var ErrUnfit = errors.New("this store cannot keep verdicts")

// probeKey cannot be anything of a namespace, which never starts with a dot.
const probeKey = ".ktaudit/write-once"

// probe is what is in the probe.
var probe = []byte("ktaudit asks here whether this store creates an object only once.\n")

const otherStore = "use another store, or a newer version of its server"

// prove makes sure, once per process, that the service honours IfNotExist. Some S3 servers ignore
// the header and overwrite: on those a verdict could be changed, and nothing would show it. The
// probe stays in the bucket, so that it costs one request.
func (b *Bucket) prove(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range 2 {
		if b.proven {
			return nil
		}
		err := b.putOnce(ctx, probeKey, probe)
		if err != nil && !errors.Is(err, ErrExists) {
			return b.diagnose(ctx, err)
		}
		b.proven = err != nil
	}
	if !b.proven {
		return fmt.Errorf("%w: it ignores conditional writes (If-None-Match): %s was written twice, and so could a verdict be; %s",
			ErrUnfit, probeKey, otherStore)
	}
	return nil
}

// diagnose finds out why the probe was not taken, where a server does not like the request. Only
// one that takes the probe without the condition is known to refuse the condition: a 400 may
// have many other reasons, some of which pass.
func (b *Bucket) diagnose(ctx context.Context, err error) error {
	status := blobstore.Status(err)
	if status != http.StatusBadRequest && status != http.StatusNotImplemented {
		return err
	}
	if b.overwriteProbe(ctx) == nil {
		return fmt.Errorf("%w: it refuses conditional writes (If-None-Match), without which a verdict could be overwritten; %s: %w",
			ErrUnfit, otherStore, err)
	}
	const checksums = "if it does not know the checksums that AWS's library adds, add request_checksum_calculation=when_required to the URL"
	if status == http.StatusNotImplemented {
		return fmt.Errorf("%w: its server does not implement such writes; %s: %w", ErrUnfit, checksums, err)
	}
	return fmt.Errorf("%w (%s)", err, checksums)
}

func (b *Bucket) overwriteProbe(ctx context.Context) error {
	return b.write(ctx, probeKey, probe, &blob.WriterOptions{ContentType: contentType(probeKey)})
}

// TryWrite creates the probe once more. That is refused, so it leaves nothing behind, not even a
// version in a bucket that keeps them. But a service may refuse what exists before it notices that
// its disk is full. So once an object could not be created, and until one was, the probe is
// written over with what is in it; unless that is not allowed.
func (b *Bucket) TryWrite(ctx context.Context) error {
	if !b.isProven() {
		return b.prove(ctx)
	}
	if b.failing.Load() {
		err := b.overwriteProbe(ctx)
		if err == nil {
			b.failing.Store(false)
		}
		if !blobstore.IsForbidden(err) {
			return err
		}
	}
	if err := b.putOnce(ctx, probeKey, probe); !errors.Is(err, ErrExists) {
		return err
	}
	return nil
}

func (b *Bucket) isProven() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.proven
}
