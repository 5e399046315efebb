package s3list

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"github.com/ktaudit/ktaudit/internal/patience"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// impatient are options under which a slow host is soon given up. All that the tests wait for is
// that end.
func impatient() Options {
	o := quick()
	o.Patience = 300 * time.Millisecond
	return o
}

// TestHostileSlowHost: whoever drips, hangs or redirects to such a host costs one patience.
func TestHostileSlowHost(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]s3listtest.Fault{
		"drips":                   s3listtest.Drip(1, 20*time.Millisecond),
		"hangs":                   s3listtest.Silence,
		"stalls":                  s3listtest.Stall(5),
		"wants a pause each time": s3listtest.Status(503, "SlowDown", "Retry-After", "9"),
		"redirects to where it hangs": func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Has("again") {
					s3listtest.Silence(next).ServeHTTP(w, r)
					return
				}
				http.Redirect(w, r, r.URL.Path+"?again", http.StatusTemporaryRedirect)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, server := opened(t, map[string]string{"7/a/b": strings.Repeat(alphabet, 100)}, impatient())
			server.Always(fault)
			calls := map[string]func() error{
				"list": func() error { _, err := list(t.Context(), b, "", ""); return err },
				"read": func() error { _, err := read(t.Context(), b, "7/a/b", 0, -1); return err },
				"head": func() error { _, err := b.Attributes(t.Context(), "7/a/b"); return err },
			}
			if name == "drips" || name == "stalls" {
				delete(calls, "head") // it has no body
			}
			for operation, call := range calls {
				err := call()
				if !errors.Is(err, patience.ErrSlow) || gcerrors.Code(err) != gcerrors.DeadlineExceeded {
					t.Errorf("%s: %v", operation, err)
				}
			}
			if n := len(server.Requests()); n > 2*len(calls) {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// TestPatienceSparesOurOwnRate: waiting for a turn is not the host's fault.
func TestPatienceSparesOurOwnRate(t *testing.T) {
	t.Parallel()
	o := impatient()
	o.Rate = 2
	b, _ := opened(t, map[string]string{"key": strings.Repeat("x", 1<<20)}, o)
	for range 4 { // two at once, the others half a second apart
		if _, err := b.Attributes(t.Context(), "key"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHostileHostDelaysNobodyElse: while one host wants no requests, another is read.
func TestHostileHostDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	hostile, server := opened(t, nil, quick())
	honest, _ := opened(t, map[string]string{"key": alphabet}, quick())
	server.Always(s3listtest.Status(429, "SlowDown", "Retry-After", "99999999"))
	if _, err := list(t.Context(), hostile, "", ""); !errors.Is(err, errHeld) {
		t.Error(err)
	}
	if got, err := read(t.Context(), honest, "key", 0, -1); err != nil || got != alphabet {
		t.Errorf("%q, %v", got, err)
	}
}

// TestHostileETags: an ETag of 62 KB, or one that would do something to a terminal, still tells the
// states of an object apart.
func TestHostileETags(t *testing.T) {
	t.Parallel()
	for name, etag := range map[string]string{
		"long": `"` + strings.Repeat("x", 60<<10) + `"`, "long and weak": `W/"` + strings.Repeat("x", 60<<10) + `"`,
		"at the limit": `"` + strings.Repeat("x", maxETag) + `"`, "not ASCII": `"é` + "\u202e" + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, server := opened(t, map[string]string{"key": alphabet}, quick())
			server.ETags(func(string, string) string { return etag })
			objects, _, err := b.ListPage(t.Context(), blob.FirstPageToken, 10, nil)
			if err != nil || len(objects) != 1 {
				t.Fatal(err)
			}
			var listed, served ETag
			server.Next(nil, s3listtest.Cut(10)) // a resumed body compares them, too
			attributes, err := b.Attributes(t.Context(), "key")
			if err != nil {
				t.Fatal(err)
			}
			r, err := b.NewReader(t.Context(), "key", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if got, err := io.ReadAll(r); err != nil || string(got) != alphabet {
				t.Errorf("%q, %v", got, err)
			}
			if !objects[0].As(&listed) || !r.As(&served) || listed != served || len(listed) > maxETag ||
				len(attributes.ETag) > maxETag+2 || !isETag(strings.Trim(attributes.ETag, `"`)) {
				t.Errorf("listed %.100q, served %.100q, attributes %.100q", listed, served, attributes.ETag)
			}
		})
	}
	if plainETag(strings.Repeat("x", 1000)) == plainETag(strings.Repeat("x", 1001)) {
		t.Error("two states are one")
	}
	b, server := opened(t, map[string]string{"key": alphabet}, quick())
	n := 60 << 10
	server.ETags(func(string, string) string { n++; return `"` + strings.Repeat("x", n) + `"` })
	server.Next(s3listtest.Cut(10))
	if _, err := read(t.Context(), b, "key", 0, -1); !errors.Is(err, ErrChanged) {
		t.Errorf("an object that changes: %.300v", err)
	} else if len(err.Error()) > 1100 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}

// TestHostileErrorTexts: whatever a server says, an error is one line that may be printed.
func TestHostileErrorTexts(t *testing.T) {
	t.Parallel()
	nasty := "\x1b[2J\u202e\U000e0001" + strings.Repeat("\u2066x", 5000)
	const xml = `<Error><Code>NoSuchKey</Code><Message>`
	fault := func(header, value string) s3listtest.Fault { return s3listtest.Status(307, "", header, value) }
	for name, f := range map[string]s3listtest.Fault{
		"message":     s3listtest.Body(404, "application/xml", xml+strings.ReplaceAll(nasty[4:8000], "\x1b", "")+"</Message></Error>"),
		"root":        s3listtest.Body(200, "application/xml", "<"+strings.Repeat("é", 5000)+"/>"),
		"redirect":    fault("Location", "https://"+strings.Repeat("x", 50_000)+"/"),
		"location":    fault("Location", "http://[\u202e"+strings.Repeat("\u2066", 9000)),
		"retry-after": s3listtest.Status(429, "", "Retry-After", strings.Repeat("9", 60_000)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := quick()
			o.Attempts = 1
			b, server := opened(t, nil, o)
			server.Always(f)
			_, err := list(t.Context(), b, "7/", "")
			if err == nil {
				t.Fatal("no error")
			}
			text := err.Error()
			if len(text) > maxErrorText+100 || !utf8.ValidString(text) ||
				strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || slices.Contains([]rune{0x202e, 0x2066, 0xe0001, 0x7f}, r) }) {
				t.Errorf("%d bytes: %q", len(text), text)
			}
		})
	}
	e := &Error{}
	err := annotate(&Error{Err: errKey}, "read", strings.Repeat("k", 60<<10))
	if !errors.As(err, &e) || len(e.Key) > maxErrorKey || len(err.Error()) > maxErrorText {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}
