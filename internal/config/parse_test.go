package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/strictyaml"
	"github.com/ktaudit/ktaudit/internal/units"
)

// parse parses a file that must be valid.
func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// withNamespace is a valid file with these lines in its only namespace.
func withNamespace(lines ...string) string {
	return "audit_store: ./audit\nnamespaces:\n  - namespace: example\n    log_directory: ./log\n    " + strings.Join(lines, "\n    ") + "\n"
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c := parse(t, withNamespace("backfill: {cron: '@daily'}"))
	c.source = nil
	want := &Config{
		Redis: "embedded", AuditStore: "./audit", ShutdownTimeout: 30 * time.Second, CanaryEvery: 500, StoreUnwritableAfter: 5 * time.Minute,
		Runbook: "https://github.com/ktaudit/ktaudit/blob/main/docs/runbook.md",
		Namespaces: []Namespace{{
			Namespace: "example", LogDirectory: "./log", Configuration: "whatsapp_v1", First: 1,
			Poll: 30 * time.Second, Settle: time.Minute, SilentAfter: 30 * time.Minute, TransientAfter: time.Hour, BacklogAge: time.Hour, MaxLag: "15m", ChainEvery: 24 * time.Hour,
			Evidence:     Evidence{MaxBatches: 4, MaxBytes: 64 << 20},
			RecheckAfter: []time.Duration{time.Hour, 24 * time.Hour, 7 * 24 * time.Hour}, RecheckHistory: 30 * 24 * time.Hour, ReverifyOneIn: 1000, ReverifyBytes: 20 * units.GiB,
			Limits:    Limits{MaxBytes: 2 << 30, MaxStoredBytes: 2 << 30, MaxElements: 32 << 20, MinRate: 16 << 10},
			Backfills: []Backfill{{From: 1, Cron: "@daily", Window: 10_000}},
		}},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestPresets(t *testing.T) {
	t.Parallel()
	c := parse(t, "audit_store: ./audit\nnamespaces:\n  - preset: whatsapp-v1\n  - preset: whatsapp-v2\n")
	v1, v2 := c.Namespaces[0], c.Namespaces[1]
	if v1.Namespace != "whatsapp.key-transparency.v1" || v1.LogDirectory != "s3list+https://d1tfr3x7n136ak.cloudfront.net" ||
		v1.First != 1 || v1.Last != 2_026_881 || v1.SilentAfter != 0 || v1.Configuration != "whatsapp_v1" || len(v1.VerifyingKeys) != 0 {
		t.Errorf("whatsapp-v1 is %+v", v1)
	}
	if v2.Namespace != "whatsapp.key-transparency.v2" || v2.LogDirectory != "s3list+https://d4ttn6vhp3mg0.cloudfront.net" ||
		v2.First != 722_606 || v2.Last != 0 || v2.SilentAfter == 0 || v2.Configuration != "whatsapp_v1" || len(v2.VerifyingKeys) != 0 {
		t.Errorf("whatsapp-v2 is %+v", v2)
	}
	if _, err := Preset("whatsapp-v3"); err == nil || err.Error() != `unknown preset "whatsapp-v3": use messenger, whatsapp-v1 or whatsapp-v2` {
		t.Errorf("whatsapp-v3: %v", err)
	}
}

func TestPresetIsOverridden(t *testing.T) {
	t.Parallel()
	// The preset is heard before what stands above it.
	c := parse(t, `
audit_store: ./audit
namespaces:
  - first: 1000000
    last: 1000100
    log_directory: ./copy
    poll: 2m
    preset: whatsapp-v2
`)
	n := c.Namespaces[0]
	if n.First != 1_000_000 || n.Last != 1_000_100 || n.LogDirectory != "./copy" || n.Poll != 2*time.Minute ||
		n.SilentAfter != 0 || n.Namespace != "whatsapp.key-transparency.v2" {
		t.Errorf("got %+v", n)
	}
}

const (
	aKey     = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
	otherKey = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
)

func TestValues(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		line string
		got  func(Namespace) any
		want any
	}{
		{"poll: 1s", func(n Namespace) any { return n.Poll }, time.Second},
		{"poll: 1500ms", func(n Namespace) any { return n.Poll }, 1500 * time.Millisecond},
		{"poll: 1m30s", func(n Namespace) any { return n.Poll }, 90 * time.Second},
		{"poll: '15 m'", func(n Namespace) any { return n.Poll }, 15 * time.Minute},
		{"chain_every: never", func(n Namespace) any { return n.ChainEvery }, time.Duration(0)},
		{"recheck_after: never", func(n Namespace) any { return len(n.RecheckAfter) }, 0},
		{"recheck_after: [10m, 2d]", func(n Namespace) any { return n.RecheckAfter[1] }, 48 * time.Hour},
		{"cadence: 2m", func(n Namespace) any { return n.Cadence }, 2 * time.Minute},
		{"cadence: auto", func(n Namespace) any { return n.Cadence }, time.Duration(0)},
		{"settle: 10s", func(n Namespace) any { return n.Settle }, 10 * time.Second},
		{"settle: none", func(n Namespace) any { return n.Settle }, time.Duration(0)},
		{"silent_after: 30d", func(n Namespace) any { return n.SilentAfter }, 720 * time.Hour},
		{"silent_after: never", func(n Namespace) any { return n.SilentAfter }, time.Duration(0)},
		{"last: none", func(n Namespace) any { return n.Last }, uint64(0)},
		{"last: 2026881", func(n Namespace) any { return n.SilentAfter }, time.Duration(0)},
		{"retention: for ever", func(n Namespace) any { return n.Retention }, time.Duration(0)},
		{"{archive: true, retention: 30d}", func(n Namespace) any { return n.Retention }, 720 * time.Hour},
		{"limits: {max_bytes: 512MiB}", func(n Namespace) any { return n.Limits.MaxBytes }, 512 * units.MiB},
		{"limits: {max_bytes: 4096B}", func(n Namespace) any { return n.Limits.MaxStoredBytes }, 2 * units.GiB},
		{"limits: {min_rate: 64KiB}", func(n Namespace) any { return n.Limits.MinRate }, units.Bytes(64 << 10)},
		{"first: 0100", func(n Namespace) any { return n.First }, uint64(100)},
		{"backfill: [{to: newest}, {from: 7, to: 9, window: 1}]", func(n Namespace) any { return n.Backfills },
			[]Backfill{{1, 0, "", 10_000}, {7, 9, "", 1}}},
		{"{last: 50, backfill: {}}", func(n Namespace) any { return n.Backfills }, []Backfill{{1, 50, "", 10_000}}},
		{"verifying_keys: [" + aKey + ", " + otherKey + "@331-]", func(n Namespace) any { return n.Keys() }, []string{aKey, otherKey + "@331-"}},
		{"verifying_keys: [{key: " + aKey + ", to_epoch: 330}, {key: " + aKey + ", from_epoch: 400, to_epoch: 500}]",
			func(n Namespace) any { return n.Keys() }, []string{aKey + "@-330", aKey + "@400-500"}},
		{"signatures: ./s", nil, nil},
	} {
		t.Run(test.line, func(t *testing.T) {
			t.Parallel()
			if test.got == nil {
				if _, err := Parse("", []byte(withNamespace(test.line))); err == nil {
					t.Error("it is valid")
				}
				return
			}
			text := withNamespace(test.line)
			if strings.HasPrefix(test.line, "{") {
				text = "audit_store: ./audit\nnamespaces:\n  - {namespace: example, log_directory: ./log, " + test.line[1:] + "\n"
			}
			if got := test.got(parse(t, text).Namespaces[0]); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestYAML(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"example":   string(example),
		"defaults":  withNamespace("poll: 1500ms"),
		"odd texts": strings.ReplaceAll(withNamespace("configuration: 'experimental: \"é\" # 1'"), "./audit", `"./on: - #'é\\"`),
		"words":     strings.ReplaceAll(withNamespace(), "example", "'null'"),
		"numbers":   strings.ReplaceAll(withNamespace(), "example", "'0123'"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := parse(t, text)
			again := parse(t, c.YAML())
			c.source, again.source = nil, nil
			if !reflect.DeepEqual(c, again) {
				t.Errorf("%+v\ncame back as\n%+v\nfrom\n%s", c, again, c.YAML())
			}
		})
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "missing.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	for name, test := range map[string]struct{ text, want string }{
		"large": {withNamespace() + strings.Repeat("#", MaxFileBytes), "the file is larger than 1MiB"},
		"many":  {withNamespace() + "x: [" + strings.Repeat("1,", strictyaml.MaxTokens) + "1]", "the file has more than 20000 YAML tokens"},
		"bytes": {"\xff" + withNamespace(), "the file is not UTF-8 text"},
		"nul":   {"\x00" + withNamespace(), "the file is not UTF-8 text"},
	} {
		file := filepath.Join(dir, name+".yaml")
		if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(file); err == nil || !strings.HasPrefix(err.Error(), file+":") || !strings.HasSuffix(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
	// As editors on other systems write it.
	text := "\ufeff" + strings.ReplaceAll(withNamespace("first: 7"), "\n", "\r\n")
	if c := parse(t, text); c.Namespaces[0].First != 7 {
		t.Errorf("got %+v", c)
	}
}

func TestValidateWithoutFile(t *testing.T) {
	t.Parallel()
	n, err := Preset("whatsapp-v2")
	if err != nil {
		t.Fatal(err)
	}
	n.First = 1
	c := Config{Redis: "embedded", AuditStore: "./audit", Budget: -1, Namespaces: []Namespace{n}}
	want := "the configuration has 2 problems:\nmemory: is negative\nnamespaces[0].first: is before the first epoch of preset whatsapp-v2, which is 722606"
	if err := c.Validate(); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	c := parse(t, withNamespace()+`
alerts:
  alertmanager: [{url: "http://localhost:9093"}, {url: "http://127.0.0.1:9093"}, {url: "http://alerts.example.org"}]
  webhook: {url: "http://hooks.example.org", secret_env: KEY}
`)
	var got []string
	for _, w := range append(c.Warnings(), parse(t, withNamespace()).Warnings()...) {
		got = append(got, w.String())
	}
	want := []string{
		"test.yaml:8:88: alerts.alertmanager[2].url: without TLS, an attacker on the network can suppress or forge alerts: use https",
		"test.yaml:9:18: alerts.webhook[0].url: without TLS, an attacker on the network can read and suppress alerts: use https",
		"test.yaml:1:1: alerts: no alert target is set, so nobody is alerted when an epoch is rejected: add one",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	c := parse(t, withNamespace("first: 7"))
	if n, ok := c.Find("example"); !ok || n.First != 7 {
		t.Errorf("example is %+v, %v", n, ok)
	}
	if n, ok := c.Find("other"); ok {
		t.Errorf("other is %+v", n)
	}
}
