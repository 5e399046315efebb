package s3list

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"github.com/ktaudit/ktaudit/internal/s3listing"
	"gocloud.dev/blob"
)

// endless is a log of so many epochs whose keys are made as they are asked for. Its pages are as
// large as those of the public logs.
func endless(epochs int) s3listtest.Fault {
	key := func(i int) string { return fmt.Sprintf("%07d/%064x/%064x", i, i, i+1) }
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			after := q.Get("continuation-token")
			if after == "" {
				after = q.Get("start-after")
			}
			first := 0
			if after != "" {
				_, _ = fmt.Sscanf(after, "%07d/", &first)
				first++
			}
			last := min(first+1000, epochs)
			var b strings.Builder
			for i := first; i < last; i++ {
				fmt.Fprintf(&b, "<Contents><Key>%s</Key><LastModified>2026-09-02T10:00:00.000Z</LastModified><ETag>&quot;%032x&quot;</ETag>"+
					"<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>45000000</Size>"+
					"<StorageClass>STANDARD</StorageClass></Contents>", key(i), i)
			}
			_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+
				`<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>log</Name><Prefix></Prefix>`+
				fmt.Sprintf("<NextContinuationToken>%s</NextContinuationToken><KeyCount>%d</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>%t</IsTruncated>",
					key(last-1), last-first, last < epochs)+b.String()+"</ListBucketResult>")
		})
	}
}

// walk lists a whole bucket as the comment of After says.
func walk(b *blob.Bucket, tb testing.TB, from string, visit func(key string)) {
	tb.Helper()
	token := blob.FirstPageToken
	if from != "" {
		token = After(from)
	}
	for len(token) > 0 {
		page, next, err := b.ListPage(tb.Context(), token, 1000, nil)
		if err != nil {
			tb.Fatal(err)
		}
		for _, o := range page {
			visit(o.Key)
		}
		token = next
	}
}

// TestBulkListing: a whole log takes one request for a thousand keys, and a walk goes on after any
// key, also in another process and one day later.
func TestBulkListing(t *testing.T) {
	t.Parallel()
	b, server := opened(t, nil, quick())
	server.Always(endless(12_000))
	var keys []string
	walk(b, t, "", func(key string) { keys = append(keys, key) })
	if n := len(server.Requests()); len(keys) != 12_000 || n != 12 {
		t.Fatalf("%d keys in %d requests", len(keys), n)
	}
	n := 0
	walk(b, t, keys[7499], func(key string) {
		if key != keys[7500+n] {
			t.Fatalf("after %s: %s is number %d", keys[7499], key, n)
		}
		n++
	})
	if n != 4500 || len(server.Requests()) != 12+5 {
		t.Errorf("%d more keys, %d requests in all", n, len(server.Requests()))
	}
}

// BenchmarkParseListing reads a page of a thousand keys.
func BenchmarkParseListing(b *testing.B) {
	recorder := httptest.NewRecorder()
	endless(1000)(nil).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	page := recorder.Body.Bytes()
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s3listing.Parse(page); err != nil {
			b.Fatal(err)
		}
	}
}
