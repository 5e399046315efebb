package blobstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/s3list"
	"github.com/ktaudit/ktaudit/internal/localdisk"
	"gocloud.dev/blob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"
	"gocloud.dev/gcp"
	"golang.org/x/oauth2/google"
)

// openTimeout bounds the search for credentials and the first request. A service that takes longer
// will not do for an audit.
const openTimeout = 15 * time.Second

// OpenBucket opens a bucket:
//
//	s3://BUCKET       S3 and servers like it, one's own with
//	                  …?endpoint=http://HOST:PORT&use_path_style=true
//	gs://BUCKET       Google Cloud Storage
//	azblob://CONTAINER   Azure
//	file:///FOLDER    local disk, as is a plain path; …?create_dir=true makes the folder
//	mem://            memory: new and empty each time
//	s3list+https://HOST  a public log, read-only: see package s3list
//
// All take prefix=FOLDER/, services and public logs also ranges= (see Ranges), services ca_file=,
// certificate=, certificate_key= and server_name= for TLS, and gocloud's parameters. Credentials
// come from where each service's own programs find them. It asks the service for a first listing,
// so that a wrong name, missing credentials or an unreachable service is said here, in one error
// that tells what to change, and not by the first of a million jobs.
//
// On local disk no link is followed below the folder, and only regular files are read; what is
// neither file nor folder is an error where it is listed or read. For writing what must be there
// only once, and outlast a power failure, use package auditstore: on local disk the bucket syncs
// nothing.
func OpenBucket(ctx context.Context, url string) (*blob.Bucket, error) {
	l, err := parse(url)
	if err != nil {
		return nil, err
	}
	return l.open(ctx, l.list)
}

// OpenUnasked is OpenBucket without the first listing, for whoever has other things to do while a
// service is down.
func OpenUnasked(ctx context.Context, url string) (*blob.Bucket, error) {
	l, err := parse(url)
	if err != nil {
		return nil, err
	}
	return l.open(ctx, func(context.Context, *blob.Bucket) error { return nil })
}

// Ranges returns how many parts of one large object may be fetched at once from the bucket at a URL
// that OpenBucket takes, for fetcher.Options: several from a service, one from a public log, unless
// the URL has ranges=, and one from what is on this machine.
func Ranges(url string) int {
	l, err := parse(url)
	if err != nil {
		return 1
	}
	return max(l.ranges, 1) // a plain path has no parameters
}

// ErrNoAnswer is in the error for a service that could not be reached or had a fault of its own,
// which may pass. One that does not know the bucket or the credentials has answered.
var ErrNoAnswer = errors.New("no answer")

// open opens the bucket. A service is asked for something.
func (l *location) open(ctx context.Context, ask func(context.Context, *blob.Bucket) error) (*blob.Bucket, error) {
	var b *blob.Bucket
	var err error
	if l.scheme == "file" {
		b, err = l.openFolder()
	} else {
		b, err = l.openService(ctx, ask)
	}
	if err != nil {
		return nil, err
	}
	if l.prefix != "" {
		b = blob.PrefixedBucket(b, l.prefix)
	}
	return b, nil
}

func (l *location) openFolder() (*blob.Bucket, error) {
	if err := l.checkFolder(); err != nil {
		return nil, err
	}
	folder, err := filepath.Abs(l.folder) // whatever the working directory is later
	return localdisk.Bucket(folder), err
}

func (l *location) openService(ctx context.Context, ask func(context.Context, *blob.Bucket) error) (*blob.Bucket, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	transport, err := l.transport()
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", l.shown, err)
	}
	b, err := schemes[l.scheme].open(ctx, l.url, transport)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", l.shown, err)
	}
	if err := ask(ctx, b); err != nil {
		_ = b.Close()
		return nil, err
	}
	return b, nil
}

// list asks for a first listing.
func (l *location) list(ctx context.Context, b *blob.Bucket) error {
	var err error
	_ = Retry(ctx, func() error {
		_, _, err = b.ListPage(ctx, blob.FirstPageToken, 1, nil)
		if l.readOnly() || Status(err) == 0 {
			return nil // package s3list has tried again itself; and whoever is not there may not be at all
		}
		return err
	})
	if err == nil {
		return nil
	}
	listing := fmt.Errorf("bucket %s %s: %w", l.shown, l.why(err), err)
	if mayPass(err) {
		return noAnswerError{listing}
	}
	return listing
}

// noAnswerError is an ErrNoAnswer with words of its own.
type noAnswerError struct{ error }

func (e noAnswerError) Unwrap() error      { return e.error }
func (noAnswerError) Is(target error) bool { return target == ErrNoAnswer }

// mayPass reports whether a listing failed of the network or of a server in trouble. The drivers
// agree on little: S3's has the status only.
func mayPass(err error) bool {
	switch gcerrors.Code(err) {
	case gcerrors.Internal, gcerrors.ResourceExhausted, gcerrors.DeadlineExceeded:
		return true
	}
	if status := Status(err); status >= http.StatusInternalServerError || status == http.StatusTooManyRequests {
		return true
	}
	_, ok := errors.AsType[net.Error](err)
	return ok
}

// why puts the failure of the first listing into words.
func (l *location) why(err error) string {
	code := gcerrors.Code(err)
	switch {
	case code == gcerrors.NotFound && l.scheme == "gs":
		return "does not exist, or these credentials may not list it"
	case code == gcerrors.NotFound:
		return "does not exist"
	case code == gcerrors.PermissionDenied && l.readOnly():
		return "may not be listed without credentials, so it is no public log"
	case code == gcerrors.PermissionDenied:
		return "refuses these credentials: they must allow listing"
	case isCertificateRefused(err):
		return "refuses ktaudit's TLS certificate, or wants one: add certificate= and certificate_key= to the URL"
	case isUnknownCA(err):
		return "has a certificate of a CA that is not believed: add ca_file= to the URL, if it is yours"
	case isOtherName(err):
		return "has a certificate for another name: add server_name= to the URL, if it is the one you expect"
	case l.scheme == "azblob" && !azureCredentials():
		return "cannot be listed, and no credentials are set (" + azureHint + ")"
	default:
		return "cannot be listed"
	}
}

func openMemory(context.Context, *url.URL, *http.Transport) (*blob.Bucket, error) {
	return memblob.OpenBucket(nil), nil
}

func openPublicLog(ctx context.Context, u *url.URL, _ *http.Transport) (*blob.Bucket, error) {
	return s3list.Open(ctx, u)
}

// openGoogle looks for credentials itself: gocloud prints a warning on standard output when there
// are none, and goes on.
func openGoogle(ctx context.Context, u *url.URL, transport *http.Transport) (*blob.Bucket, error) {
	q := u.Query()
	base := gcp.DefaultTransport()
	if transport != nil {
		base = transport
	}
	opener := &gcsblob.URLOpener{Client: gcp.NewAnonymousHTTPClient(base)}
	emulator := os.Getenv("STORAGE_EMULATOR_HOST") != "" || os.Getenv("STORAGE_EMULATOR_HOST_GRPC") != ""
	if emulator && transport != nil {
		return nil, errWithoutTLS // gocloud asks an emulator by a client of its own
	}
	if !emulator && !isTrue(q, "anonymous") && q.Get("access_id") != "-" {
		// The tokens outlive the opening.
		credentials, err := gcp.DefaultCredentialsWithParams(context.WithoutCancel(ctx),
			google.CredentialsParams{UniverseDomain: q.Get("universe_domain")})
		if err != nil {
			return nil, fmt.Errorf("no Google credentials: set GOOGLE_APPLICATION_CREDENTIALS to a key file, "+
				"or run `gcloud auth application-default login`; a public bucket takes anonymous=true in its URL: %w", err)
		}
		opener.TokenSource = gcp.CredentialsTokenSource(credentials)
		if opener.Client, err = gcp.NewHTTPClient(base, opener.TokenSource); err != nil {
			return nil, err
		}
	}
	if transport == nil {
		return opener.OpenBucketURL(ctx, u)
	}
	// gocloud would take another client for whoever has no credentials.
	own := *u
	q.Del("anonymous")
	if q.Get("access_id") == "-" {
		q.Del("access_id")
	}
	own.RawQuery = q.Encode()
	return opener.OpenBucketURL(ctx, &own)
}
