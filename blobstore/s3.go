package blobstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
)

// idleConnections is how many connections to a service are kept for the next requests.
const idleConnections = 128

// openS3 fills in what S3 servers other than AWS's leave open, and looks for credentials before the
// first request does.
func openS3(ctx context.Context, u *url.URL, transport *http.Transport) (*blob.Bucket, error) {
	q := u.Query()
	if q.Has("endpoint") && !q.Has("response_checksum_validation") {
		// Their objects often have no checksum, about which AWS's library complains on standard
		// error for each read.
		q.Set("response_checksum_validation", "when_required")
	}
	b, options, err := dialS3(ctx, u, q, transport)
	if err == nil && options.Region == "" {
		_ = b.Close()
		if !q.Has("endpoint") {
			return nil, errors.New("no region: add region=… to the URL or set AWS_REGION")
		}
		q.Set("region", "us-east-1") // which such servers expect unless told otherwise
		b, options, err = dialS3(ctx, u, q, transport)
	}
	if err != nil {
		return nil, err
	}
	if isTrue(q, "anonymous") {
		return b, nil
	}
	if _, err := options.Credentials.Retrieve(ctx); err != nil {
		_ = b.Close()
		return nil, fmt.Errorf("no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, "+
			"or give the machine a role; a public bucket takes anonymous=true in its URL: %w", err)
	}
	return b, nil
}

func dialS3(ctx context.Context, u *url.URL, q url.Values, transport *http.Transport) (*blob.Bucket, s3.Options, error) {
	full := *u
	full.RawQuery = q.Encode()
	opener := new(s3blob.URLOpener)
	b, err := opener.OpenBucketURL(ctx, &full)
	if err != nil {
		return nil, s3.Options{}, err
	}
	var client *s3.Client
	if !b.As(&client) {
		return nil, s3.Options{}, errors.New("gocloud's S3 driver has no S3 client")
	}
	options := client.Options()
	if options.Retryer, err = retryer(ctx, q, options.Retryer); err != nil {
		return nil, s3.Options{}, err
	}
	httpClient, ok := options.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		return nil, s3.Options{}, fmt.Errorf("AWS's library has an HTTP client without settings: %T", options.HTTPClient)
	}
	options.HTTPClient = ranged{httpClient.WithTransportOptions(func(t *http.Transport) {
		// Several epochs at once, each in ranges: what is closed has to be opened again.
		t.MaxIdleConns, t.MaxIdleConnsPerHost = idleConnections, idleConnections
		if transport == nil {
			return
		}
		c := transport.TLSClientConfig.Clone()
		if c.RootCAs == nil && t.TLSClientConfig != nil {
			c.RootCAs = t.TLSClientConfig.RootCAs // of AWS_CA_BUNDLE
		}
		t.TLSClientConfig, t.Proxy = c, onlyTLS(t.Proxy)
	})}
	b, err = s3blob.OpenBucket(ctx, s3.New(options), u.Host, &opener.Options)
	return b, options, err
}

// ranged refuses all of an object in place of a part of it that begins later, as a server sends it
// that ignores ranges: gocloud's driver would take the one for the other.
type ranged struct{ s3.HTTPClient }

func (c ranged) Do(r *http.Request) (*http.Response, error) {
	response, err := c.HTTPClient.Do(r)
	if asked := r.Header.Get("Range"); err == nil && response.StatusCode == http.StatusOK && asked != "" && !strings.HasPrefix(asked, "bytes=0-") {
		_ = response.Body.Close()
		return nil, fmt.Errorf("asked for %s and answered with all of the object: the server ignores ranges", asked)
	}
	return response, err
}

// retryer returns what decides how often a request is made: by AWS_MAX_ATTEMPTS and AWS_RETRY_MODE,
// or what stands for them in AWS's configuration file. gocloud's driver, whose choice is given,
// sets a retryer of its own, and with it drops those.
func retryer(ctx context.Context, q url.Values, gocloud aws.Retryer) (aws.Retryer, error) {
	var options []func(*config.LoadOptions) error
	if profile := q.Get("profile"); profile != "" {
		options = append(options, config.WithSharedConfigProfile(profile))
	}
	settings, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, err
	}
	if settings.RetryMode == aws.RetryModeAdaptive {
		gocloud = retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
			o.StandardOptions = append(o.StandardOptions, func(o *retry.StandardOptions) { o.RateLimiter = ratelimit.None })
		})
	}
	if settings.RetryMaxAttempts > 0 {
		gocloud = retry.AddWithMaxAttempts(gocloud, settings.RetryMaxAttempts)
	}
	return gocloud, nil
}
