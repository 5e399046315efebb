package s3list

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ktaudit/ktaudit/internal/spelling"
	"gocloud.dev/blob"
)

// The schemes of bucket URLs. SchemeHTTP is for tests and private networks: anybody on the way can
// change what it transfers.
const (
	SchemeHTTPS = "s3list+https"
	SchemeHTTP  = "s3list+http"
)

// Parameters returns the names of the query parameters that a bucket URL may have.
func Parameters() []string { return []string{"contact", "random", "rate", "redirects"} }

func init() {
	blob.DefaultURLMux().RegisterBucket(SchemeHTTPS, &URLOpener{})
	blob.DefaultURLMux().RegisterBucket(SchemeHTTP, &URLOpener{})
}

// URLOpener opens bucket URLs of both schemes for gocloud's URL mux, on whose default it is
// registered.
type URLOpener struct {
	// Options apply unless the URL has a parameter for them.
	Options Options
}

// OpenBucketURL opens s3list+https://HOST, or s3list+https://HOST/BUCKET for servers with the
// bucket's name in the path. Parameters:
//
//	rate=10       requests a second to this host; Options.Rate
//	contact=…     a mail address or URL; Options.Contact
//	redirects=HOST,…  hosts that it may redirect to; Options.Redirects
//	random=false  listings without a random query parameter; Options.Plain
//
// gocloud and package blobstore have removed prefix=FOLDER/ from the URL. OpenBucketURL makes no
// request.
func (o *URLOpener) OpenBucketURL(_ context.Context, u *url.URL) (*blob.Bucket, error) {
	b, err := open(u, o.Options)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s://%s%s: %w", u.Scheme, u.Host, u.EscapedPath(), err)
	}
	return b, nil
}

// Open is OpenBucketURL with the default Options, in the form that package blobstore needs: its
// errors do not name the URL, which is left to the caller.
func Open(_ context.Context, u *url.URL) (*blob.Bucket, error) { return open(u, Options{}) }

// CheckURL returns the error that Open would refuse a URL with, or nil.
func CheckURL(u *url.URL) error {
	base, options, err := parse(u, Options{})
	if err != nil {
		return err
	}
	return check(base, options)
}

func open(u *url.URL, options Options) (*blob.Bucket, error) {
	base, options, err := parse(u, options)
	if err != nil {
		return nil, err
	}
	return OpenBucket(base, options)
}

// parse splits a bucket URL into the bucket's http or https URL and the options.
func parse(u *url.URL, options Options) (*url.URL, Options, error) {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, options, err
	}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		value := q.Get(name)
		switch {
		case !slices.Contains(Parameters(), name):
			return nil, options, fmt.Errorf("unknown parameter %.100q%s: want %s or prefix", name, suggest(name), strings.Join(Parameters(), ", "))
		case len(q[name]) > 1:
			return nil, options, fmt.Errorf("parameter %q is given %d times", name, len(q[name]))
		case value == "":
			return nil, options, fmt.Errorf("parameter %q is empty", name)
		}
		switch name {
		case "contact":
			options.Contact = value
		case "random":
			on, err := strconv.ParseBool(value)
			if err != nil {
				return nil, options, errors.New("random: want true or false")
			}
			options.Plain = !on
		case "redirects":
			options.Redirects = strings.Split(value, ",")
		case "rate":
			if options.Rate, err = strconv.ParseFloat(value, 64); err != nil || options.Rate == 0 {
				return nil, options, fmt.Errorf("rate=%.40s: want requests a second, over 0 and up to %d", value, maxRate)
			}
		}
	}
	scheme, ok := map[string]string{SchemeHTTPS: "https", SchemeHTTP: "http"}[strings.ToLower(u.Scheme)]
	if !ok {
		return nil, options, fmt.Errorf("scheme %q: want %s", u.Scheme, SchemeHTTPS)
	}
	if u.Opaque != "" {
		return nil, options, fmt.Errorf("write %s://HOST", u.Scheme)
	}
	base := *u
	base.Scheme, base.RawQuery, base.ForceQuery = scheme, "", false
	return &base, options, nil
}

// OpenBucket opens the bucket at an http or https URL. It makes no request. The caller must close
// the bucket.
func OpenBucket(base *url.URL, o Options) (*blob.Bucket, error) {
	b, err := openBucket(base, o)
	if err != nil {
		return nil, err
	}
	return blob.NewBucket(b), nil
}

func openBucket(base *url.URL, o Options) (*bucket, error) {
	if err := check(base, o); err != nil {
		return nil, err
	}
	return &bucket{client: newClient(base, o.withDefaults())}, nil
}

func check(base *url.URL, o Options) error {
	switch {
	case base.Scheme != "https" && base.Scheme != "http":
		return fmt.Errorf("scheme %q: want https", base.Scheme)
	case base.User != nil:
		return errors.New("it has a user name or password: public logs are read without")
	case base.Hostname() == "":
		return errors.New("it names no host")
	case base.RawQuery != "" || base.ForceQuery || base.Fragment != "":
		return errors.New("it goes on after the path")
	}
	for part := range strings.SplitSeq(strings.Trim(base.Path, "/"), "/") {
		if part == "." || part == ".." {
			return fmt.Errorf("path %q is not a plain one", base.Path)
		}
	}
	return o.validate()
}

// otherNames are common wrong names of the parameters.
var otherNames = map[string]string{
	"agent": "contact", "user_agent": "contact", "mail": "contact", "email": "contact",
	"folder": "prefix", "dir": "prefix", "path": "prefix",
	"limit": "rate", "rate_limit": "rate", "max_rate": "rate", "rps": "rate", "qps": "rate",
}

// suggest returns a hint with the parameter that was probably meant, or nothing.
func suggest(name string) string {
	meant := cmp.Or(otherNames[strings.ToLower(name)], spelling.Closest(name, append(Parameters(), "prefix")))
	if meant == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", meant)
}
