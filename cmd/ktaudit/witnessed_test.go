package main

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
)

// TestWitnessedByTwo has both logs of an audit cosigned by two witnesses of two makers, litewitness
// and another ktaudit, of which both must; and what is proven under that is checked.
func TestWitnessedByTwo(t *testing.T) {
	t.Parallel()
	others := testservers.Litewitness(t)
	key := tlogtest.Key("verdict log")
	verdicts, events := tlogtest.New(provingOrigin+"/example"), tlogtest.New(provingOrigin+"/example/events")
	verdicts.Key, events.Key = key, key
	for _, log := range []*tlogtest.Log{verdicts, events} {
		if err := others.Know(log.Verifier()); err != nil {
			t.Fatal(err)
		}
	}
	b := newAudited(t, "1") // another auditor, who is a witness
	b.write("witness.key", hex.EncodeToString(tlogtest.Key("w.example").Seed()))
	b.write("ktaudit.yaml", fmt.Sprintf("audit_store: ./audit\nwitness:\n  name: w.example\n  key: {file: witness.key}\n  logs: [%s, %s]\n"+
		"namespaces:\n  - {namespace: example, log_directory: ./log}\n", verdicts.Verifier(), events.Verifier()))
	another := b.serve("--witness")

	a := proving{audited: newAudited(t, "6", "--insertions", "2", "--namespace", "example")}
	a.write("log.key", hex.EncodeToString(key.Seed()))
	config := fmt.Sprintf(`audit_store: ./audit
verdict_log:
  origin: %s
  key: {file: log.key}
witnesses:
  require: 2
  members:
    - {url: "%s", key: %s}
    - {url: "http://%s/witness", key: %s}
namespaces:
  - {namespace: example, log_directory: ./log, settle: none}
`, provingOrigin, others.URL(), others.Key(), another.api, tlogtest.Witness("w.example"))
	a.write("ktaudit.yaml", config)
	for _, last := range []string{"2", "5", "6"} {
		a.exits(0, "run", "--config", "ktaudit.yaml", "--to", last)
		a.exits(0, "log", "append", "--config", "ktaudit.yaml")
		wants(t, a.exits(0, "prove", last, "--config", "ktaudit.yaml"), "enough witnesses have cosigned")
		wants(t, a.exits(0, "check", "example-"+last+".tlog-proof", "--config", "ktaudit.yaml"),
			"SAYS VERIFIED", "2 of the 2 that you named cosigned, 2 must", "by litewitness.example/", "by w.example at")
	}
	// Who trusts one of them only needs only that one.
	a.exits(0, "check", "example-6.tlog-proof", "--auditor-key", verdicts.Verifier(), "--witness", others.Key())

	// While a witness is gone the log lacks a cosignature, and what is proven says so.
	others.Stop()
	if err := a.command("simulate", "--log-directory", "log2", "--epochs", "7", "--insertions", "2", "--namespace", "example").Run(); err != nil {
		t.Fatal(err)
	}
	a.write("ktaudit.yaml", strings.Replace(config, "./log,", "./log2,", 1))
	a.exits(0, "run", "--config", "ktaudit.yaml", "--from", "7", "--to", "7")
	a.exits(1, "log", "append", "--config", "ktaudit.yaml")
	wants(t, a.exits(0, "prove", "7", "--config", "ktaudit.yaml"), "NO witnesses are known")
	wants(t, a.exits(0, "prove", "6", "--config", "ktaudit.yaml", "--out", "again"), "enough witnesses have cosigned")
	if err := others.Start(); err != nil {
		t.Fatal(err)
	}
	a.exits(0, "log", "append", "--config", "ktaudit.yaml")
	wants(t, a.exits(0, "prove", "7", "--config", "ktaudit.yaml", "--out", "seven"), "enough witnesses have cosigned")
}
