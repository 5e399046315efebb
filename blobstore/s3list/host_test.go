package s3list

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"gocloud.dev/gcerrors"
)

func TestRetries(t *testing.T) {
	t.Parallel()
	status := func(code int) s3listtest.Fault { return s3listtest.Status(code, "") }
	for name, test := range map[string]struct {
		next   []s3listtest.Fault
		always s3listtest.Fault
		want   gcerrors.ErrorCode
		tries  int
	}{
		"burst of errors":  {next: []s3listtest.Fault{status(500), status(502), status(503), status(504)}, tries: 5},
		"too many":         {next: []s3listtest.Fault{status(429), status(408), status(425)}, tries: 4},
		"hung up":          {next: []s3listtest.Fault{s3listtest.HangUp, s3listtest.HangUp}, tries: 3},
		"page with 502":    {next: []s3listtest.Fault{s3listtest.Page(502)}, tries: 2},
		"no end of errors": {always: status(500), want: gcerrors.Internal, tries: 5},
		"slow down":        {always: s3listtest.Status(503, "SlowDown"), want: gcerrors.ResourceExhausted, tries: 5},
		"too many, always": {always: status(429), want: gcerrors.ResourceExhausted, tries: 5},
		"gateway timeout":  {always: status(504), want: gcerrors.DeadlineExceeded, tries: 5},
		"never answers":    {always: s3listtest.HangUp, want: gcerrors.Unknown, tries: 5},
		"silence":          {always: s3listtest.Silence, want: gcerrors.DeadlineExceeded, tries: 5},
		"bad request":      {always: status(400), want: gcerrors.InvalidArgument, tries: 1},
		"unauthorized":     {always: status(401), want: gcerrors.PermissionDenied, tries: 1},
		"forbidden":        {always: status(403), want: gcerrors.PermissionDenied, tries: 1},
		"missing":          {always: status(404), want: gcerrors.NotFound, tries: 1},
		"gone":             {always: status(410), want: gcerrors.NotFound, tries: 1},
		"method":           {always: status(405), want: gcerrors.Unimplemented, tries: 1},
		"precondition":     {always: status(412), want: gcerrors.FailedPrecondition, tries: 1},
		"not implemented":  {always: status(501), want: gcerrors.Unimplemented, tries: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := quick()
			if name == "silence" {
				// By then a busy machine has counted the request.
				o.HeaderTimeout = 500 * time.Millisecond
			}
			b, server := opened(t, map[string]string{"key": alphabet}, o)
			for operation, call := range map[string]func() error{
				"list": func() error { _, err := list(t.Context(), b, "", ""); return err },
				"read": func() error { _, err := read(t.Context(), b, "key", 0, -1); return err },
				"head": func() error { _, err := b.Attributes(t.Context(), "key"); return err },
			} {
				before := len(server.Requests())
				server.Next(test.next...)
				if test.always != nil {
					server.Always(test.always)
				}
				err := call()
				if gcerrors.Code(err) != test.want || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: %v", operation, err)
				}
				// net/http itself repeats a request that met a connection the server had just
				// closed.
				n := len(server.Requests()) - before
				if operation == "list" && mayRefuse(err) {
					n-- // the one without the random parameter
				}
				if hangsUp := name == "hung up" || name == "never answers"; n < test.tries || n > test.tries && !hangsUp {
					t.Errorf("%s: %d requests, want %d", operation, n, test.tries)
				}
			}
		})
	}
}

func TestErrorNamesWhatFailed(t *testing.T) {
	t.Parallel()
	b, server := opened(t, nil, quick())
	server.Always(s3listtest.Status(403, "AccessDenied"))
	_, err := b.ReadAll(t.Context(), "12/x")
	const want = `blob (key "12/x") (code=PermissionDenied): read "12/x": 403 Forbidden: AccessDenied: "Forbidden" ` +
		`(S3 also says this of missing objects if listing is not allowed)`
	if err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	e := &Error{}
	if !b.ErrorAs(err, &e) || e.Status != 403 || e.Code != "AccessDenied" || e.Op != "read" || e.Key != "12/x" {
		t.Errorf("%+v", e)
	}
}

func TestServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	server := serve(t, nil)
	server.Close()
	b := openAt(t, server.URL, quick())
	if _, err := list(t.Context(), b, "", ""); err == nil || gcerrors.Code(err) != gcerrors.Unknown {
		t.Error(err)
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	o := quick()
	o.Backoff = time.Hour
	b, server := opened(t, nil, o)
	server.Always(s3listtest.Status(500, ""))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := list(ctx, b, "", ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	server.Always(s3listtest.Status(503, "", "Retry-After", "9"))
	for range 2 { // the second is held before it asks
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := list(ctx, b, "", ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	}
	if n := len(server.Requests()); n != 2 {
		t.Errorf("%d requests", n)
	}
}

func TestRetryAfterHoldsAllOfTheHost(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]func() string{
		"seconds": func() string { return "1" },
		"date":    func() string { return time.Now().Add(2 * time.Second).UTC().Format(http.TimeFormat) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, server := opened(t, nil, quick())
			second := openAt(t, server.URL, quick())
			server.Next(s3listtest.Status(429, "SlowDown", "Retry-After", value()))
			start := time.Now()
			if _, err := list(t.Context(), first, "", ""); err != nil {
				t.Fatal(err)
			}
			if _, err := list(t.Context(), second, "", ""); err != nil {
				t.Fatal(err)
			}
			requests := server.Requests()
			if d := requests[1].Time.Sub(start); len(requests) != 3 || d < time.Second || d > 8*time.Second {
				t.Errorf("%d requests, the second after %s", len(requests), d)
			}
		})
	}
}

func TestRetryAfterThatIsTooLong(t *testing.T) {
	t.Parallel()
	first, server := opened(t, nil, quick())
	server.Next(s3listtest.Status(503, "SlowDown", "Retry-After", "3600"))
	for range 2 {
		_, err := list(t.Context(), first, "", "")
		if !errors.Is(err, errHeld) || gcerrors.Code(err) != gcerrors.ResourceExhausted {
			t.Error(err)
		}
	}
	// Another bucket is no way around it, nor is closing the first.
	first.Close()
	if _, err := list(t.Context(), openAt(t, server.URL, quick()), "", ""); !errors.Is(err, errHeld) {
		t.Error(err)
	}
	if n := len(server.Requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestRetryAfterIsBounded(t *testing.T) {
	t.Parallel()
	h := &host{}
	h.heed(http.Header{"Retry-After": {"Fri, 31 Dec 9999 23:59:59 GMT"}})
	if p := h.pause(); p > maxHold+maxHold/10 || p < maxHold-time.Minute {
		t.Errorf("held for %s", p)
	}
}

func TestBucketsOfAHostShareItsRate(t *testing.T) {
	t.Parallel()
	server := serve(t, nil)
	o := quick()
	o.Rate = 20
	first, second := openAt(t, server.URL, o), openAt(t, server.URL, quick())
	start := time.Now()
	for range 15 { // a second's worth may come at once, the others one by one
		for _, b := range []interface {
			Exists(context.Context, string) (bool, error)
		}{first, second} {
			if _, err := b.Exists(t.Context(), "key"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if d := time.Since(start); d < 400*time.Millisecond {
		t.Errorf("30 requests in %s", d)
	}
}

func TestLowestRateCounts(t *testing.T) {
	t.Parallel()
	// As nothing is asked for here, any name will do.
	base := parseURL(t, "https://rates.test/a")
	opened := func(r float64) *bucket {
		b, err := openBucket(base, Options{Rate: r})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := opened(0)
	h := first.client.host
	check := func(want float64) {
		t.Helper()
		if got := float64(h.limiter.Limit()); got != want {
			t.Errorf("rate %v, want %v", got, want)
		}
	}
	check(defaultRate)
	second := opened(50)
	check(50)
	third := opened(0.5)
	check(0.5)
	if third.client.host != h {
		t.Error("two hosts")
	}
	third.Close()
	check(50)
	second.Close()
	check(defaultRate)
	first.Close()
	hosts.Lock()
	defer hosts.Unlock()
	if hosts.byName["rates.test:443"] != nil {
		t.Error("host is kept")
	}
}
