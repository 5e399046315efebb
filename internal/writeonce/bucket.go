package writeonce

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"sync/atomic"

	"cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/ktaudit/ktaudit/blobstore"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// Bucket keeps objects in a service whose conditional writes are atomic, or in memory.
type Bucket struct {
	blob *blob.Bucket

	mu     sync.Mutex
	proven bool // the service honours IfNotExist

	failing atomic.Bool // the last object could not be created
}

// NewBucket takes over an open bucket. Its IfNotExist must be atomic: that of gocloud's driver for
// local disk is not.
func NewBucket(b *blob.Bucket) *Bucket { return &Bucket{blob: b} }

// Put creates an object.
//
// The service decides between writers, in one request. A crash before the request leaves nothing;
// after it, the whole object, and the next attempt, by this process or another, is told that the
// key is taken.
func (b *Bucket) Put(ctx context.Context, key string, data []byte) error {
	if err := b.prove(ctx); err != nil {
		return err
	}
	return b.putOnce(ctx, key, data)
}

func (b *Bucket) Mark(ctx context.Context, key string) error { return b.Put(ctx, key, nil) }

// write writes a whole object, with its checksum. That for Azure goes round gocloud's writer, as
// bucketDraft does.
func (b *Bucket) write(ctx context.Context, key string, data []byte, o *blob.WriterOptions) error {
	var azure *container.Client
	if !b.blob.As(&azure) {
		return b.blob.WriteAll(ctx, key, data, o)
	}
	sum := md5.Sum(data)
	o.BeforeWrite = func(as func(any) bool) error {
		var options *azblob.UploadStreamOptions
		if as(&options) {
			options.HTTPHeaders.BlobContentMD5 = sum[:]
		}
		return nil
	}
	return b.blob.Upload(ctx, key, bytes.NewReader(data), o)
}

func (b *Bucket) Create(ctx context.Context, key string) (Draft, error) {
	if err := b.prove(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	d := &bucketDraft{PipeWriter: w, cancel: cancel, result: make(chan error, 1)}
	go func() {
		err := b.blob.Upload(ctx, key, r, &blob.WriterOptions{ContentType: contentType(key), IfNotExist: true})
		_ = r.CloseWithError(cmp.Or(err, io.ErrClosedPipe)) // whoever still writes must not wait
		d.result <- err
	}()
	return d, nil
}

// bucketDraft is a large object on its way to the service, which assembles it when it is committed.
// It is not one of gocloud's writers: that for Azure panics in Close after the service has refused
// an object that exists (v0.47).
type bucketDraft struct {
	*io.PipeWriter
	cancel context.CancelFunc
	result chan error // of the upload
}

func (d *bucketDraft) Commit() error {
	defer d.cancel()
	_ = d.Close() // the end of what is uploaded; never fails
	err := <-d.result
	if gcerrors.Code(err) == gcerrors.FailedPrecondition {
		return ErrExists
	}
	return err
}

// abort cancels first: a plain end would commit the part that was written.
func (d *bucketDraft) Abort() {
	d.cancel()
	_ = d.CloseWithError(context.Canceled)
	<-d.result // reports the cancellation
}

func (b *Bucket) Replace(ctx context.Context, key string, data []byte) error {
	err := blobstore.Retry(ctx, func() error { return b.write(ctx, key, data, &blob.WriterOptions{ContentType: contentType(key)}) })
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

func (b *Bucket) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	var r *blob.Reader
	err := blobstore.Retry(ctx, func() (err error) {
		r, err = b.blob.NewReader(ctx, key, nil)
		return err
	})
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, 0, fmt.Errorf("%s: %w", key, ErrNotFound)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", key, err)
	}
	return r, r.Size(), nil
}

func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for o, err := range b.walk(ctx, prefix, after) {
			if err != nil {
				yield("", err)
				return
			}
			if name := strings.TrimPrefix(o.Key, prefix); name > after && !yield(name, nil) {
				return
			}
		}
	}
}

func (b *Bucket) Entries(ctx context.Context, prefix string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for o, err := range b.walk(ctx, prefix, "") {
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if !o.IsDir && !yield(Entry{strings.TrimPrefix(o.Key, prefix), o.Size, o.ModTime}, nil) {
				return
			}
		}
	}
}

// walk lists what is directly under a prefix, from about a name on.
func (b *Bucket) walk(ctx context.Context, prefix, after string) iter.Seq2[*blob.ListObject, error] {
	return func(yield func(*blob.ListObject, error) bool) {
		objects := b.blob.List(&blob.ListOptions{Prefix: prefix, Delimiter: "/", BeforeList: startAfter(after)})
		for {
			var o *blob.ListObject
			err := blobstore.Retry(ctx, func() (err error) {
				if o, err = objects.Next(ctx); err == io.EOF {
					o, err = nil, nil
				}
				return err // and asks for the same page again
			})
			if err == nil && o == nil {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("list %s: %w", prefix, err))
				return
			}
			if !yield(o, nil) {
				return
			}
		}
	}
}

// startAfter has a service begin a listing after a name, where it can: what comes before is neither
// counted nor sent. S3 and Google can; others send it for nothing.
func startAfter(name string) func(as func(any) bool) error {
	if name == "" {
		return nil
	}
	return func(as func(any) bool) error {
		var amazon *s3.ListObjectsV2Input
		var google *storage.Query
		switch {
		case as(&amazon):
			amazon.StartAfter = aws.String(aws.ToString(amazon.Prefix) + name)
		case as(&google):
			google.StartOffset = google.Prefix + name
		}
		return nil
	}
}

func (b *Bucket) Remove(ctx context.Context, key string) error {
	err := blobstore.Retry(ctx, func() error { return b.blob.Delete(ctx, key) })
	if err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return fmt.Errorf("remove %s: %w", key, err)
	}
	return nil
}

// ping lists, because a service says of an object in a bucket that is gone what it says of an
// object that is.
func (b *Bucket) Ping(ctx context.Context) error {
	if _, _, err := b.blob.ListPage(ctx, blob.FirstPageToken, 1, nil); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	return nil
}

func (b *Bucket) Close() error { return b.blob.Close() }

func contentType(key string) string {
	if strings.HasSuffix(key, ".json") {
		return "application/json"
	}
	return "application/octet-stream"
}
