package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestServe(t *testing.T) {
	t.Parallel()
	c := parse(t, withNamespace("signing: {}")+`
serve: {listen: ":8443", keys: [{file: a}, {env: B, not_before: 2026-01-31T02:00:00+02:00}]}
`)
	if s := c.Namespaces[0].Signing; !s.IsOn() || s.Mode != SignSeen || s.Ciphersuite != 1 {
		t.Errorf("signing is %+v", s)
	}
	for i, want := range []time.Time{{}, time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)} {
		if at, err := c.Serve.Keys[i].Begins(); err != nil || !at.Equal(want) {
			t.Errorf("key %d begins at %s, %v", i, at, err)
		}
	}
	if s := parse(t, withNamespace()).Namespaces[0].Signing; s.IsOn() {
		t.Errorf("without signing it is %+v", s)
	}
}

// Whoever checks what is signed needs the batches, from the log or from here.
func TestWarningOfMissingBatches(t *testing.T) {
	t.Parallel()
	const serve = "serve: {listen: 'localhost:1', keys: {file: a}}\nalerts: {webhook: {url_env: U, secret_env: S}}\n"
	for _, c := range []struct {
		log, archive string
		warned       bool
	}{
		{"./log", "false", true},
		{"s3list+http://localhost", "false", true},
		{"./log", "true", false},
		{"s3list+https://log.example", "false", false},
	} {
		text := strings.Replace(withNamespace("signing: {token_file: t}", "archive: "+c.archive), "./log", c.log, 1) + serve
		got := parse(t, text).Warnings()
		if warned := len(got) == 1 && strings.Contains(got[0].Message, "clients of the API find no batches"); warned != c.warned || len(got) > 1 {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestWarningsOfSigning(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, serve, signing, want string }{
		{"good", "{listen: ':1', keys: {file: a}, certificate: c, certificate_key: k}", "{token_file: t}", ""},
		{"on loopback", "{listen: '[::1]:1', keys: {file: a}}", "{token_file: t}", ""},
		{"disabled", "{listen: ':1', keys: {file: a}}", "{disabled: true}", ""},
		{"without keys", "{listen: 'localhost:1'}", "{token_file: t}", "namespaces[0].signing: there is no key"},
		{"only with later keys", "{listen: 'localhost:1', keys: [{file: a, not_before: '9999-01-02T00:00:00Z'}, {file: b, not_before: '9999-01-01T00:00:00Z'}]}", "{token_file: t}",
			"serve.keys: no key signs before 9999-01-01T00:00:00Z"},
		{"with a later key", "{listen: 'localhost:1', keys: [{file: a, not_before: '9999-01-02T00:00:00Z'}, {file: b}]}", "{token_file: t}", ""},
		{"without posters", "{listen: ':1', keys: {file: a}}", "{}", "namespaces[0].signing: nobody may post, so"},
		{"verified by itself", "{listen: ':1', keys: {file: a}}", "{mode: verified, root: 1/" + strings.Repeat("ab", 32) + "}", ""},
		{"before the audit", "{listen: ':1', keys: {file: a}}", "{mode: verified, root: 0/" + strings.Repeat("ab", 32) + "}", "namespaces[0].signing.root: no epoch before first"},
		{"without a beginning", "{listen: ':1', keys: {file: a}}", "{mode: verified}", "namespaces[0].signing: nobody may post, and"},
		{"without TLS", "{listen: ':1', keys: {file: a}}", "{token_env: T}", "serve.listen: without TLS"},
	} {
		text := withNamespace("archive: true", "signing: "+c.signing) + "serve: " + c.serve + "\nalerts: {webhook: {url_env: U, secret_env: S}}\n"
		got := ""
		for _, w := range parse(t, text).Warnings() {
			got += w.Path + ": " + w.Message
		}
		if !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	twice := parse(t, withNamespace("signing: {host: a.example, disabled: true}")+
		"  - {namespace: other, log_directory: ./log2, signing: {host: a.example, disabled: true}}\n")
	got := twice.Warnings()
	if want := "a.example is also the host of example: give each log a host name of its own"; len(got) != 2 ||
		!reflect.DeepEqual([]string{got[1].Path, got[1].Message}, []string{"namespaces[1].signing.host", want}) {
		t.Errorf("%q", got)
	}
}
