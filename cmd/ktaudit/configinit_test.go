package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/config"
)

const someKey = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"

// TestInitIsAcceptedByCheck writes a file for every combination of answers, in which what was
// answered must stand.
func TestInitIsAcceptedByCheck(t *testing.T) {
	t.Parallel()
	logs := []configInitCmd{{Namespace: "example", LogDirectory: "./log"},
		{Namespace: "123", LogDirectory: "s3://log?region=us-east-1", VerifyingKey: someKey, Signatures: "plexi+https://auditor.example.org/x"}}
	for _, preset := range config.PresetNames() {
		logs = append(logs, configInitCmd{Preset: preset})
	}
	combinations := 0
	for _, c := range logs {
		for _, c.First = range []uint64{0, 1_200_000} {
			for _, c.AuditStore = range []string{"", "./audit", "s3://audit?region=us-east-1&prefix=a/"} {
				for _, c.Redis = range []string{"", "embedded", "redis://localhost:6379/0", "rediss-cluster://a:1,b:2"} {
					for _, c.Listen = range []string{"", "none", ":9464"} {
						for _, c.Alertmanager = range []string{"", "http://localhost:9093"} {
							for _, c.SlackURLFile = range []string{"", "/run/secrets/a b"} {
								combinations++
								checkInit(t, c)
							}
						}
					}
				}
			}
		}
	}
	if combinations < 1000 {
		t.Errorf("%d combinations only", combinations)
	}
}

func checkInit(t *testing.T, c configInitCmd) {
	t.Helper()
	text, err := c.render()
	if err != nil {
		t.Errorf("%+v: %v", c, err)
		return
	}
	got, err := config.Parse("ktaudit.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	n := got.Namespaces[0]
	want := []any{c.Preset, c.store(), c.queue(), c.Signatures, c.Alertmanager != "", c.SlackURLFile}
	slack := ""
	if len(got.Alerts.Slack) == 1 {
		slack = got.Alerts.Slack[0].URLFile
	}
	have := []any{n.Preset, got.AuditStore, got.Redis, n.Signatures, len(got.Alerts.Alertmanager) == 1, slack}
	if c.Preset == "" {
		want, have = append(want, c.Namespace, c.LogDirectory), append(have, n.Namespace, n.LogDirectory)
	}
	if c.First != 0 {
		want, have = append(want, c.First), append(have, n.First)
	}
	if c.VerifyingKey != "" {
		want, have = append(want, []string{c.VerifyingKey}), append(have, n.Keys())
	}
	switch c.Listen {
	case "none":
		want, have = append(want, ""), append(have, got.Listen)
	case "":
		want, have = append(want, defaultListen), append(have, got.Listen)
	}
	if !reflect.DeepEqual(want, have) {
		t.Errorf("%+v\nis read as %v,\nwant       %v:\n%s", c, have, want, text)
	}
}

// TestInitQuotes draws answers from what means something in YAML: each is refused, or stands in the
// file as it was given. It is no fuzz target, since this program takes minutes to link as one.
func TestInitQuotes(t *testing.T) {
	t.Parallel()
	pieces := []string{
		"a", "B", "0", "1e3", ".", "..", "/", "./", ":", ": ", " #", "-", "- ", "~", "null", "true", "no", ".inf", ".nan", "0x1f", "1:30", "2026-01-01",
		"'", "\"", "\\", "\n", "\t", "\r", "\x00", "\x7f", "\u0085", "\u2028", "\ufeff", "é", "😀", "\xff", "\ufffd", "{", "}", "[", "]", ",", "&a", "*a", "!", "!!str",
		"|", ">", "%", "@", "`", "?", "? ", "<<", "=", "${A}", "redis://h:1", "s3://b?x=<&>",
	}
	r := rand.New(rand.NewPCG(1, 2))
	draw := func() string {
		var b strings.Builder
		for range r.IntN(4) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		return b.String()
	}
	accepted := 0
	for range 2000 {
		c := configInitCmd{Namespace: "example", LogDirectory: "./log"}
		*[]*string{&c.Namespace, &c.LogDirectory, &c.AuditStore, &c.Redis, &c.Listen, &c.Alertmanager, &c.SlackURLFile, &c.SlackURLFile}[r.IntN(8)] = draw()
		if _, err := c.render(); err == nil {
			accepted++
			checkInit(t, c)
		}
	}
	if accepted < 100 {
		t.Errorf("of 2000 drawings %d are accepted: the test shows little", accepted)
	}
}

// TestInitAsksAgain answers wrongly first.
func TestInitAsksAgain(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	var c configInitCmd
	c.File = "ktaudit.yaml"
	answers := []string{
		"whatsapp", "other", "", "example", "mem:/", "./log", "12", someKey, "s3list+ftp://x", "plexi+https://auditor.example.org/x",
		"zero", "0", "17", "mem://", "", "localhost:6379", "redis://localhost:6379/0", "localhost", "http://localhost:9093", "none", "9464", "none",
	}
	err := c.ask(t.Context(), strings.NewReader(strings.Join(answers, "\n")+"\n"), &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	want := configInitCmd{
		File: "ktaudit.yaml", Namespace: "example", LogDirectory: "./log", VerifyingKey: someKey, Signatures: "plexi+https://auditor.example.org/x",
		First: 17, AuditStore: "./audit", Redis: "redis://localhost:6379/0", Alertmanager: "http://localhost:9093", Listen: "none",
	}
	if c != want {
		t.Errorf("answered %+v,\nwant     %+v\n%s", c, want, out.String())
	}
	checkInit(t, c)
}

// TestInitNeedsAllAnswers: it writes nothing if the answers end, or if it is interrupted.
func TestInitNeedsAllAnswers(t *testing.T) {
	t.Parallel()
	var c configInitCmd
	if err := c.ask(t.Context(), strings.NewReader("whatsapp-v2\n"), io.Discard); err == nil || !strings.Contains(fmt.Sprint(err), "nothing was written") {
		t.Errorf("%v, want that nothing was written", err)
	}
}
