package s3list

import (
	"slices"
	"strings"
	"testing"

	"gocloud.dev/blob"
)

func TestOpenURL(t *testing.T) {
	t.Parallel()
	server := serve(t, map[string]string{"12/a": "", "logs/12/b": ""})
	for query, want := range map[string][]string{
		"":                                   {"12/a", "logs/12/b"},
		"?prefix=logs/":                      {"12/b"},
		"?rate=5000&contact=ops@example.org": {"12/a", "logs/12/b"},
		"/?contact=https://example.org/contact%23us": {"12/a", "logs/12/b"},
	} {
		b, err := blob.OpenBucket(t.Context(), server.BucketURL()+query)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := list(t.Context(), b, "", ""); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", query, got, err)
		}
		b.Close()
	}
	agents := map[string]bool{}
	for _, r := range server.Requests() {
		agents[r.UserAgent()] = true
	}
	for _, contact := range []string{"https://github.com/ktaudit/ktaudit", "ops@example.org", "https://example.org/contact#us"} {
		if want := "ktaudit/" + version0() + " (+" + contact + ")"; !agents[want] {
			t.Errorf("no request by %q: %v", want, agents)
		}
	}
}

// version0 is the version that a test's build has.
func version0() string {
	name, _, _ := strings.Cut(Options{Contact: "x"}.withDefaults().userAgent(), " ")
	return strings.TrimPrefix(name, "ktaudit/")
}

func TestOpenURLRefuses(t *testing.T) {
	t.Parallel()
	for rawURL, want := range map[string]string{
		"s3list+https://h?rat=5":                               `unknown parameter "rat" (did you mean "rate"?): want contact, random, rate, redirects or prefix`,
		"s3list+https://h?rps=5":                               `did you mean "rate"?`,
		"s3list+https://h?user_agent=x":                        `did you mean "contact"?`,
		"s3list+https://h?Prefix=x":                            `did you mean "prefix"?`,
		"s3list+https://h?anonymous=true":                      `unknown parameter "anonymous": want`,
		"s3list+https://h?rate=1&rate=2":                       `parameter "rate" is given 2 times`,
		"s3list+https://h?rate=":                               `parameter "rate" is empty`,
		"s3list+https://h?rate=0":                              `rate=0: want requests a second, over 0 and up to 10000`,
		"s3list+https://h?rate=fast":                           "rate=fast: want",
		"s3list+https://h?rate=-1":                             "rate -1: want",
		"s3list+https://h?rate=NaN":                            "rate NaN: want",
		"s3list+https://h?rate=%2bInf":                         "rate +Inf: want",
		"s3list+https://h?contact=Some+Body":                   `contact "Some Body": want a mail address or a URL`,
		"s3list+https://h?contact=a%0d%0ab":                    `contact "a\r\nb"`,
		"s3list+https://h?contact=(x)":                         `contact "(x)"`,
		"s3list+https://u:secret@h":                            "it has a user name or password",
		"s3list+https://":                                      "it names no host",
		"s3list+https://:443":                                  "it names no host",
		"s3list+https:h":                                       "write s3list+https://HOST",
		"s3list+https://h#x":                                   "it goes on after the path",
		"s3list+https://h/a/../b":                              "is not a plain one",
		"s3list+https://h?a=%zz":                               "invalid URL escape",
		"s3list+https://h?tokn=secret":                         `unknown parameter "tokn"`,
		"s3list+https://h?random=perhaps":                      "random: want true or false",
		"s3list+https://h?redirects=https://x":                 `redirects: "https://x": want hosts with commas between`,
		"s3list+https://h?redirects=x,":                        `redirects: "": want hosts`,
		"s3list+https://h?redirects=u@x":                       `redirects: "u@x": want hosts`,
		"s3list+https://h?contact=" + strings.Repeat("x", 201): "up to 200 bytes",
	} {
		_, err := blob.OpenBucket(t.Context(), rawURL)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", rawURL, err)
		}
	}
	for _, rawURL := range []string{"ftp://h", "h", "s3list+https://h"} {
		if _, err := OpenBucket(parseURL(t, rawURL), Options{}); err == nil {
			t.Errorf("%s: opened", rawURL)
		}
	}
	if _, err := Open(t.Context(), parseURL(t, "https://h")); err == nil || !strings.Contains(err.Error(), `scheme "https": want s3list+https`) {
		t.Error(err)
	}
}

func TestUserAgentIsOneHeader(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"v1.2.3": "ktaudit/v1.2.3 (+x)", "(devel)": "ktaudit/devel (+x)", "\r\n": "ktaudit/devel (+x)",
		"v0.0.0-20260101+dirty": "ktaudit/v0.0.0-20260101+dirty (+x)",
	} {
		if got := (Options{Version: version, Contact: "x"}).userAgent(); got != want {
			t.Errorf("%q: %q", version, got)
		}
	}
}
