package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
	"github.com/ktaudit/ktaudit/transparency/witnesses"
	"github.com/rs/zerolog"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	ourwitness "github.com/ktaudit/ktaudit/witness"
)

// proving is an audited log whose verdict log has a checkpoint that a witness of ours has cosigned,
// and a newer one that nobody has.
type proving struct {
	audited
	vkey, witness string
}

const provingOrigin = "auditor.example.org"

// newProving audits a log of 12 epochs, the last of which is tampered with. Up to epoch 10 the
// verdict log is witnessed.
func newProving(t *testing.T) proving {
	t.Helper()
	l := proving{audited: newAudited(t, "12", "--insertions", "2", "--tamper", "12=overlap", "--namespace", "example")}
	if out, err := l.command("run", "--from", "1", "--to", "12", "--settle", "0s").CombinedOutput(); err == nil {
		t.Fatalf("nothing was rejected:\n%s", out)
	}
	store, err := auditstore.Open(t.Context(), "file://"+filepath.Join(l.dir, "audit"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	key := tlogtest.Key("verdict log")
	log := transparency.Open(store, "example", transparency.Verdicts)
	if _, err := log.Begin(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if l.vkey, err = note.NewEd25519VerifierKey(provingOrigin+"/example", key.Public().(ed25519.PublicKey)); err != nil {
		t.Fatal(err)
	}
	hash := strings.Split(l.vkey, "+")[1]
	signer, err := note.NewSigner("PRIVATE+KEY+" + provingOrigin + "/example+" + hash + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, key.Seed()...)))
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(l.vkey)
	if err != nil {
		t.Fatal(err)
	}
	own := transparency.Own(provingOrigin+"/example", verifier)
	first, err := log.Advance(t.Context(), signer, own, 10)
	if err != nil {
		t.Fatal(err)
	}
	first.Note = l.cosign(log, first)
	if err := log.PutWitnessed(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Advance(t.Context(), signer, own, 100); err != nil {
		t.Fatal(err)
	}
	l.write("ktaudit.yaml", fmt.Sprintf(`audit_store: ./audit
verdict_log:
  origin: %s
  public_key: %x
  statement_key: {file: statements.key}
witnesses:
  require: 1
  members: [{url: https://witness.example, key: %s}]
namespaces:
  - namespace: example
    log_directory: ./log
    statement_origin: example.kt/v1
`, provingOrigin, key.Public(), l.witness))
	l.write("statements.key", hex.EncodeToString(tlogtest.Key("statements").Seed()))
	return l
}

// cosign has a real witness of ours cosign a checkpoint.
func (l *proving) cosign(log *transparency.Log, c transparency.Checkpoint) []byte {
	l.t.Helper()
	store, err := auditstore.Open(l.t.Context(), "mem://")
	if err != nil {
		l.t.Fatal(err)
	}
	defer store.Close()
	w, err := ourwitness.New(store, "w.example", tlogtest.Key("w"), []ourwitness.Log{{Key: l.vkey}})
	if err != nil {
		l.t.Fatal(err)
	}
	server := httptest.NewServer(w.Handler("", zerolog.Nop()))
	defer server.Close()
	l.witness = w.Key()
	all, err := witnesses.New(witnesses.Config{Members: []witnesses.Member{{URL: server.URL, Key: w.Key()}}, Require: 1})
	if err != nil {
		l.t.Fatal(err)
	}
	cosigned := all.Assemble(c.Note, all.Ask(l.t.Context(), c.Note, c.Tree, func(old int64) (tlog.TreeProof, error) {
		return log.Consistency(l.t.Context(), c.Tree, old)
	}))
	if !all.Met(cosigned) {
		l.t.Fatal("not cosigned")
	}
	return cosigned
}

// exits runs a command without the environment of the others and returns what it prints.
func (l proving) exits(status int, args ...string) string {
	l.t.Helper()
	cmd := exec.CommandContext(l.t.Context(), filepath.Join(binDir, "ktaudit"), args...)
	cmd.Dir, cmd.Env = l.dir, environment(l.dir)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		l.t.Fatal(err)
	}
	if got != status {
		l.t.Errorf("ktaudit %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, status, stdout.String(), stderr.String())
	}
	return stdout.String() + stderr.String()
}

func (l proving) read(name string) []byte {
	l.t.Helper()
	data, err := os.ReadFile(filepath.Join(l.dir, name))
	if err != nil {
		l.t.Fatal(err)
	}
	return data
}

func wants(t *testing.T, text string, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
}

func TestProveAndCheck(t *testing.T) {
	t.Parallel()
	l := newProving(t)
	wants(t, l.exits(0, "prove", "7", "--config", "ktaudit.yaml"), "example-7.tlog-proof", "entry 6 of 10", "enough witnesses have cosigned")
	l.exits(2, "prove", "7", "--config", "ktaudit.yaml") // which never replaces a file
	wants(t, l.exits(0, "check", "example-7.tlog-proof", "--config", "ktaudit.yaml"), "SAYS VERIFIED", "epoch 7 of example", "by w.example at", "What was not checked")
	wants(t, l.exits(0, "check", "example-7.tlog-proof", "--auditor-key", l.vkey), "name witnesses whom you trust")
	public := fmt.Sprintf("%x", tlogtest.Key("verdict log").Public())
	l.exits(0, "check", "example-7.tlog-proof", "--auditor-key", public, "--origin", provingOrigin+"/example", "--witness", l.witness)
	l.exits(2, "check", "example-7.tlog-proof", "--auditor-key", public)
	l.exits(2, "check", "example-7.tlog-proof")
	l.exits(2, "check", "no-such-file", "--config", "ktaudit.yaml")
	wants(t, l.exits(1, "check", "example-7.tlog-proof", "--auditor-key", l.vkey, "--witness", tlogtest.Witness("w2.example")), "TOO FEW WITNESSES")
	wants(t, l.exits(1, "check", "example-7.tlog-proof", "--auditor-key", tlogtest.New(provingOrigin+"/example").Verifier()), "FAILS")

	// The newest epochs are not witnessed yet, and the last was rejected.
	wants(t, l.exits(0, "prove", "11", "--config", "ktaudit.yaml", "--out", "eleven"), "NO witnesses are known")
	wants(t, l.exits(1, "check", "eleven", "--config", "ktaudit.yaml"), "TOO FEW WITNESSES")
	l.exits(0, "check", "eleven", "--auditor-key", l.vkey)
	wants(t, l.exits(0, "prove", "12", "--namespace", "example", "--audit-store", "audit"), "not checked here")
	wants(t, l.exits(1, "check", "example-12.tlog-proof", "--auditor-key", l.vkey), "SAYS REJECTED", "overlapping_labels")
	wants(t, l.exits(1, "prove", "13", "--config", "ktaudit.yaml"), "goes up to epoch 12")

	// A changed byte, in each part of the file; tlogproof's tests change every one.
	file := l.read("example-7.tlog-proof")
	for i := 0; i < len(file); i += 601 {
		changed := bytes.Clone(file)
		changed[i] ^= 1
		l.write("changed", string(changed))
		l.exits(1, "check", "changed", "--config", "ktaudit.yaml")
	}
	var result checkedFile
	if err := json.Unmarshal([]byte(l.exits(0, "check", "example-7.tlog-proof", "--config", "ktaudit.yaml", "--json")), &result); err != nil ||
		result.Result != checkedGood || result.Proof.Epoch != 7 || result.Proof.First != 1 || len(result.Proof.Cosigned) != 1 {
		t.Errorf("%+v, %v", result, err)
	}
}

// TestProveFromAChangedStore: nothing is proven that was not signed.
func TestProveFromAChangedStore(t *testing.T) {
	t.Parallel()
	l := newProving(t)
	entries := filepath.Join(l.dir, "audit", "example", "tlog", "verdicts", "tile", "entries", "000.p", "10")
	data, err := os.ReadFile(entries)
	if err == nil {
		err = errors.Join(os.Chmod(entries, 0o600), os.WriteFile(entries, bytes.Replace(data, []byte(`"epoch":2,`), []byte(`"epoch":9,`), 1), 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	wants(t, l.exits(1, "prove", "2", "--config", "ktaudit.yaml"), "the audit store was changed")
	if _, err := os.Stat(filepath.Join(l.dir, "example-2.tlog-proof")); !errors.Is(err, os.ErrNotExist) {
		t.Error("a proof was written")
	}
}

func TestStatement(t *testing.T) {
	t.Parallel()
	l := newProving(t)
	keys := strings.Fields(l.exits(0, "statement", "--keys", "--config", "ktaudit.yaml"))
	first := l.exits(0, "statement", "7", "--config", "ktaudit.yaml")
	if again := l.exits(0, "statement", "7", "--config", "ktaudit.yaml"); again != first {
		t.Errorf("two statements:\n%s%s", first, again)
	}
	l.write("seven", first)
	wants(t, first, "example.kt/v1\n7\n", "\u2014 "+provingOrigin+"/verified ")
	wants(t, l.exits(0, "check", "seven", "--statement-key", keys[1]), "VERIFIED", "no checkpoint of a transparency log")
	wants(t, l.exits(0, "check", "seven", "--config", "ktaudit.yaml", "--json"), `"result":"good"`, `"tier":"verified"`, `"epoch":7`)
	wants(t, l.exits(1, "check", "seven", "--statement-key", keys[3]), "FAILS")
	l.exits(2, "check", "seven", "--auditor-key", l.vkey)
	wants(t, l.exits(1, "statement", "12", "--config", "ktaudit.yaml"), "rejected")
	wants(t, l.exits(1, "statement", "13", "--config", "ktaudit.yaml"), "no verdict")

	// Chained, once the names were walked.
	wants(t, l.exits(1, "statement", "7", "--config", "ktaudit.yaml", "--tier", "chained"), "no chain")
	l.exits(0, "chain", "--config", "ktaudit.yaml")
	l.write("chained", l.exits(0, "statement", "7", "--config", "ktaudit.yaml", "--tier", "chained"))
	wants(t, l.exits(1, "check", "chained", "--config", "ktaudit.yaml"), "CHAINED", "no proof was looked at")
	l.exits(0, "check", "chained", "--config", "ktaudit.yaml", "--tier", "chained")
}
