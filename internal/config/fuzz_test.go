package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/internal/strictyaml"
)

// FuzzParse holds any file to being refused with bounded Problems, or to being read and shown
// without loss.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/invalid/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, exampleFile) {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(withNamespace("last: 7", "verifying_keys:", "- d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "backfill: {cron: '@daily'}")))
	f.Add([]byte("{redis: unix:///r, audit_store: a, namespaces: [{namespace: n, log_directory: l}], alerts: {slack: {url_env: S}}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("f", text)
		if err != nil {
			problems, ok := errors.AsType[Problems](err)
			if !ok || c != nil || len(problems) == 0 || len(err.Error()) > (strictyaml.MaxProblems+2)*(strictyaml.MaxMessage+200) {
				t.Fatalf("%v with %d bytes of %T", c, len(err.Error()), err)
			}
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("what was parsed is not valid: %v", err)
		}
		for _, n := range c.Namespaces {
			if n.Namespace == "" || n.First == 0 || n.Poll < minPoll || blobstore.CheckURL(n.LogDirectory) != nil {
				t.Fatalf("a namespace that nobody can use: %+v", n)
			}
		}
		c.Warnings()
		shown := c.YAML()
		again, err := Parse("f", []byte(shown))
		if err != nil {
			t.Fatalf("what is shown is not valid: %v\n%s", err, shown)
		}
		c.source, again.source = nil, nil
		if !reflect.DeepEqual(c, again) {
			t.Fatalf("%+v came back as %+v from\n%s", c, again, shown)
		}
	})
}

// FuzzCron holds the parser of times, which is not ours, to returning.
func FuzzCron(f *testing.F) {
	for _, text := range []string{"0 22 * * 1-5", "@daily", "@every 1h30m", "TZ=UTC", "CRON_TZ=", "*/0 * * * *", "0 0 31 2 *", "? 1-2/3,4 L JAN mon"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { _ = checkCron(text) })
}
