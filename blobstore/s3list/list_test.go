package s3list

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"github.com/ktaudit/ktaudit/internal/s3listing"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// list is all that a listing brings.
func list(ctx context.Context, b *blob.Bucket, prefix, delimiter string) (keys []string, err error) {
	objects := b.List(&blob.ListOptions{Prefix: prefix, Delimiter: delimiter})
	for {
		o, err := objects.Next(ctx)
		if err == io.EOF {
			return keys, nil
		}
		if err != nil {
			return keys, err
		}
		keys = append(keys, o.Key)
	}
}

func TestListTellsKeySizeAndTime(t *testing.T) {
	t.Parallel()
	b, server := opened(t, map[string]string{"12/a/b": "hello", "1/a/b": "", "120/a/b": ""}, quick())
	objects, next, err := b.ListPage(t.Context(), blob.FirstPageToken, 10, &blob.ListOptions{Prefix: "12/"})
	if err != nil || len(next) != 0 || len(objects) != 1 {
		t.Fatalf("%d objects, next %q: %v", len(objects), next, err)
	}
	o := objects[0]
	if o.Key != "12/a/b" || o.Size != 5 || o.IsDir || time.Since(o.ModTime).Abs() > time.Minute || o.As(nil) {
		t.Errorf("%+v", o)
	}
	r := server.Requests()[0]
	if r.Method != "GET" || r.URL.Path != "/" || !regexp.MustCompile(
		"^cb=[0-9a-f]{16}&encoding-type=url&list-type=2&max-keys=10&prefix=12%2F$").MatchString(r.URL.RawQuery) {
		t.Errorf("asked %s %s", r.Method, r.URL)
	}
}

func TestListOverManyPages(t *testing.T) {
	t.Parallel()
	objects := map[string]string{}
	var want []string
	for i := range 2100 {
		key := fmt.Sprintf("log/%05d", i)
		objects[key] = "x"
		want = append(want, key)
	}
	b, server := opened(t, objects, quick())
	got, err := list(t.Context(), b, "log/", "")
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%d keys: %v", len(got), err)
	}
	if n := len(server.Requests()); n != 3 {
		t.Errorf("%d requests", n)
	}
	after, _, err := b.ListPage(t.Context(), After("log/00041"), 2, &blob.ListOptions{Prefix: "log/"})
	if err != nil || len(after) != 2 || after[0].Key != "log/00042" {
		t.Errorf("after a key: %v, %v", after, err)
	}
	if q := server.Requests()[3].URL.Query(); q.Get("start-after") != "log/00041" {
		t.Errorf("asked %v", q)
	}
	if _, _, err := b.ListPage(t.Context(), []byte("nonsense"), 2, nil); gcerrors.Code(err) != gcerrors.InvalidArgument {
		t.Errorf("token of somebody else: %v", err)
	}
}

// A content network may keep parts of the question from S3, and S3 may not know encoding-type. What
// then comes must be the right answer or an error.
func TestListThroughAForgetfulNetwork(t *testing.T) {
	t.Parallel()
	objects := map[string]string{"1/a": "", "1/b c+d%&<é>": "", "1/d/e": "", "1/f": "", "2/a": ""}
	all := []string{"1/a", "1/b c+d%&<é>", "1/d/e", "1/f"}
	for _, test := range []struct {
		dropped, prefix, delimiter string
		pageSize                   int
		want                       []string // nil if it must fail
	}{
		{dropped: "max-keys", prefix: "1/", pageSize: 1, want: all},
		{dropped: "encoding-type", prefix: "1/", pageSize: 10, want: all},
		{dropped: "encoding-type", prefix: "1/", delimiter: "/", pageSize: 10, want: []string{"1/a", "1/b c+d%&<é>", "1/d/", "1/f"}},
		{dropped: "prefix", prefix: "1/", pageSize: 10},
		{dropped: "prefix", prefix: "3/", pageSize: 10},
		{dropped: "delimiter", prefix: "1/", delimiter: "/", pageSize: 10},
		{dropped: "continuation-token", prefix: "1/", pageSize: 3},
		{dropped: "list-type", prefix: "1/", pageSize: 10},
	} {
		t.Run(test.dropped+" for "+test.prefix, func(t *testing.T) {
			t.Parallel()
			b, server := opened(t, objects, quick())
			server.Always(s3listtest.DropQuery(test.dropped))
			options := &blob.ListOptions{Prefix: test.prefix, Delimiter: test.delimiter}
			var got []string
			page, next, err := b.ListPage(t.Context(), blob.FirstPageToken, test.pageSize, options)
			for ; err == nil; page, next, err = b.ListPage(t.Context(), next, test.pageSize, options) {
				for _, o := range page {
					got = append(got, o.Key)
				}
			}
			if test.want == nil && err == io.EOF || test.want != nil && (err != io.EOF || !slices.Equal(got, test.want)) {
				t.Errorf("%q: %v", got, err)
			}
		})
	}
}

// TestNothingLooksLikeAnEmptyListing: an empty listing means "not published".
func TestNothingLooksLikeAnEmptyListing(t *testing.T) {
	t.Parallel()
	const empty = `<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>l</Name><Prefix>1/</Prefix><KeyCount>0</KeyCount>` +
		`<MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated></ListBucketResult>`
	xml := func(text string) s3listtest.Fault { return s3listtest.Body(http.StatusOK, "application/xml", text) }
	change := func(from, to string) s3listtest.Fault {
		if !strings.Contains(empty, from) {
			t.Fatal(from)
		}
		return xml(strings.Replace(empty, from, to, 1))
	}
	for name, test := range map[string]struct {
		fault s3listtest.Fault
		code  gcerrors.ErrorCode // Unknown where the answer was cut off
		tries int
	}{
		"login page":             {s3listtest.Page(200), gcerrors.Internal, 1},
		"page that is XML":       {xml(`<html xmlns="http://www.w3.org/1999/xhtml"><body/></html>`), gcerrors.Internal, 1},
		"nothing":                {xml(""), gcerrors.Internal, 5},
		"no root":                {xml(`<?xml version="1.0"?>`), gcerrors.Internal, 5},
		"JSON":                   {s3listtest.Body(200, "application/json", `{}`), gcerrors.Internal, 1},
		"error with status 200":  {xml(`<Error><Code>InternalError</Code></Error>`), gcerrors.Internal, 1},
		"list of buckets":        {xml(`<ListAllMyBucketsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>`), gcerrors.Internal, 1},
		"empty element":          {xml(`<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>`), gcerrors.Internal, 1},
		"other namespace":        {change("http://s3.amazonaws.com/doc/2006-03-01/", "http://example.org/"), gcerrors.Internal, 1},
		"other prefix":           {change("<Prefix>1/", "<Prefix>2/"), gcerrors.Internal, 1},
		"shorter prefix":         {change("<Prefix>1/", "<Prefix>"), gcerrors.Internal, 1},
		"a delimiter":            {change("<MaxKeys>", "<Delimiter>/</Delimiter><MaxKeys>"), gcerrors.Internal, 1},
		"key count too high":     {change("<KeyCount>0", "<KeyCount>1"), gcerrors.Internal, 1},
		"first version":          {change("<KeyCount>0</KeyCount>", ""), gcerrors.Internal, 1},
		"end unsaid":             {change("<IsTruncated>false</IsTruncated>", ""), gcerrors.Internal, 1},
		"end unclear":            {change("false", "no"), gcerrors.Internal, 1},
		"more without a token":   {change("false", "true"), gcerrors.Internal, 1},
		"more without end":       {change("false</IsTruncated>", "true</IsTruncated><NextContinuationToken>x</NextContinuationToken>"), gcerrors.Internal, 2},
		"two ends":               {change("</IsTruncated>", "</IsTruncated><IsTruncated>false</IsTruncated>"), gcerrors.Internal, 1},
		"two answers":            {xml(empty + empty), gcerrors.Internal, 1},
		"text after":             {xml(empty + "x"), gcerrors.Internal, 1},
		"cut off":                {xml(empty[:len(empty)-1]), gcerrors.Internal, 5},
		"document type":          {change("\n", "<!DOCTYPE ListBucketResult>"), gcerrors.Internal, 1},
		"entities":               {change("\n", `<!DOCTYPE l [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]>`), gcerrors.Internal, 1},
		"unknown entity":         {change("<Name>l", "<Name>&b;"), gcerrors.Internal, 1},
		"other encoding of text": {change("UTF-8", "UTF-16"), gcerrors.Internal, 1},
		"unknown escaping":       {change(">url<", ">base64<"), gcerrors.Internal, 1},
		"bad escaping":           {change("<Prefix>1/", "<Prefix>1/%zz"), gcerrors.Internal, 1},
		"compressed": {s3listtest.Edit(func(h http.Header, body []byte) []byte {
			h.Set("Content-Encoding", "gzip")
			return body
		}), gcerrors.Internal, 1},
		"broken connection": {s3listtest.Cut(100), gcerrors.Unknown, 5},
		"no content":        {s3listtest.Body(http.StatusNoContent, "", ""), gcerrors.Unknown, 1},
		"not found":         {s3listtest.Status(404, "NoSuchBucket"), gcerrors.NotFound, 2}, // also without the random parameter
		"forbidden":         {s3listtest.Status(403, "AccessDenied"), gcerrors.PermissionDenied, 2},
		"too large":         {xml(empty + strings.Repeat(" ", s3listing.MaxBytes)), gcerrors.Internal, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, server := opened(t, nil, quick())
			server.Always(test.fault)
			keys, err := list(t.Context(), b, "1/", "")
			if err == nil || len(keys) != 0 {
				t.Fatalf("keys %q, no error", keys)
			}
			if code := gcerrors.Code(err); code != test.code || code == gcerrors.Internal && !errors.Is(err, ErrMalformed) {
				t.Errorf("code %v: %v", code, err)
			}
			if n := len(server.Requests()); n != test.tries {
				t.Errorf("%d requests, want %d", n, test.tries)
			}
			// The text that all of these are made of is a listing.
			server.Always(xml(empty))
			if keys, err := list(t.Context(), b, "1/", ""); err != nil || len(keys) != 0 {
				t.Errorf("empty listing: %q, %v", keys, err)
			}
		})
	}
}

func TestListEmptyPages(t *testing.T) {
	t.Parallel()
	// S3 has them where much was deleted. Each has another token.
	page := func(i int, end bool) s3listtest.Fault {
		return s3listtest.Body(200, "application/xml", fmt.Sprintf(`<ListBucketResult><Prefix></Prefix><KeyCount>0</KeyCount><IsTruncated>%t</IsTruncated>`+
			`<NextContinuationToken>t%d</NextContinuationToken></ListBucketResult>`, !end, i))
	}
	b, server := opened(t, map[string]string{"key": ""}, quick())
	server.Next(page(1, false), page(2, false), page(3, true))
	if keys, err := list(t.Context(), b, "", ""); err != nil || len(keys) != 0 {
		t.Errorf("%q, %v", keys, err)
	}
	for i := range maxEmptyPages {
		server.Next(page(i, false))
	}
	if keys, err := list(t.Context(), b, "", ""); !errors.Is(err, ErrMalformed) {
		t.Errorf("%q, %v", keys, err)
	}
}

func TestListDirectories(t *testing.T) {
	t.Parallel()
	b, _ := opened(t, map[string]string{"a": "", "d/x": "", "d/y/z": "", "e/": ""}, quick())
	for prefix, want := range map[string][]string{
		"":   {"a", "d/", "e/"},
		"d":  {"d/"},
		"d/": {"d/x", "d/y/"},
		"e/": {"e/"},
		"f/": nil,
	} {
		if got, err := list(t.Context(), b, prefix, "/"); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", prefix, got, err)
		}
	}
}

// S3 rolls up what comes after a key within a folder into that folder, which stands before the key.
func TestListFromWithinAFolder(t *testing.T) {
	t.Parallel()
	b, _ := opened(t, map[string]string{"1/a/x": "", "1/a/y": "", "1/b": ""}, quick())
	page, _, err := b.ListPage(t.Context(), After("1/a/x"), 10, &blob.ListOptions{Prefix: "1/", Delimiter: "/"})
	if err != nil || len(page) != 2 || page[0].Key != "1/a/" || page[1].Key != "1/b" {
		t.Errorf("%v, %v", page, err)
	}
}
