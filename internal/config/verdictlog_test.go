package config

import (
	"strings"
	"testing"
	"time"
)

func TestVerdictLog(t *testing.T) {
	t.Parallel()
	c := parse(t, withNamespace()+"verdict_log: {origin: a.example, key: {env: K}}\n")
	if l := c.VerdictLog; !l.IsOn() || l.Every != time.Minute || l.NotPublishedAfter != 7*24*time.Hour {
		t.Errorf("the defaults are %+v", l)
	}
	if l := parse(t, withNamespace()+"verdict_log: {origin: a, key: {env: K}, not_published_after: never}\n").VerdictLog; l.NotPublishedAfter != 0 {
		t.Errorf("never is %s", l.NotPublishedAfter)
	}
	none := parse(t, withNamespace())
	if none.VerdictLog.IsOn() || none.Witness.IsOn() || none.VerdictLog.Every != 0 {
		t.Errorf("a file that sets none has %+v", none.VerdictLog)
	}
	if shown := none.YAML(); strings.Contains(shown, "verdict_log") || strings.Contains(shown, "witness") {
		t.Errorf("a file that sets none shows one:\n%s", shown)
	}
}

func TestPublicKey(t *testing.T) {
	t.Parallel()
	const key = "216be6f6267f24d267d03fe02dd9e76039c591967c0022b1ddbdede77269360d"
	c := parse(t, withNamespace()+"verdict_log: {origin: a.example, public_key: "+key+"}\n")
	if public, err := c.VerdictLog.Public(); err != nil || len(public) != 32 {
		t.Errorf("the key is %x, %v", public, err)
	}
	if c.VerdictLog.Key.IsGiven() {
		t.Error("there is a key that signs")
	}
	if public, err := (VerdictLog{}).Public(); public != nil || err != nil {
		t.Errorf("without a key it is %x, %v", public, err)
	}
}

func TestWarningsOfWitnesses(t *testing.T) {
	t.Parallel()
	const log = "alerts: {webhook: {url_env: U, secret_env: S}}\nverdict_log: {origin: a.example, key: {env: K}}\n"
	const member = "witnesses: {require: 1, members: [{url: 'http://w.example', key: witness.example.net+94d11d49+BCrX58rInRAOuVYnWH0Be1rlB1nAg77BKqmnSsjoOUzf}]}\n"
	for _, c := range []struct{ text, want string }{
		{log, "verdict_log: no witness cosigns it"},
		{log + member, "witnesses.members[0].url: without TLS"},
		{log + strings.Replace(member, "http://w.example", "http://localhost:1", 1), ""},
	} {
		got := ""
		for _, w := range parse(t, withNamespace()+c.text).Warnings() {
			got += w.Path + ": " + w.Message
		}
		if !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
