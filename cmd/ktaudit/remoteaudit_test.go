package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/signature"
)

// called runs a command in this process.
func called(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	status = execute(t.Context(), args, &out, &err)
	return status, out.String(), err.String()
}

// auditArgs are those of an audit whose pins are the test's.
func auditArgs(t *testing.T, f *fakeAuditor, more ...string) []string {
	return append([]string{"audit", "-r", f.URL, "-n", fakeNamespace, "--pins", filepath.Join(t.TempDir(), "pins.json")}, more...)
}

// What is wrong, and what there is no telling of, is never good, and never taken for each other.
func TestRemoteAudit(t *testing.T) {
	t.Parallel()
	given := []string{"--verifying-key", vectorKey}
	for _, test := range []struct {
		name   string
		change func(*testing.T, *fakeAuditor) []string // and the flags
		status int
		want   string // in standard output, or in standard error if there is no telling
	}{
		{"good", func(*testing.T, *fakeAuditor) []string { return given }, exitGood, "success\n"},
		{"first use", func(*testing.T, *fakeAuditor) []string { return nil }, exitGood, "success\n"},
		{"an epoch", func(*testing.T, *fakeAuditor) []string { return append(given, "--epoch=7") }, exitGood, "success\n"},
		{"the root", func(*testing.T, *fakeAuditor) []string { return append(given, "--epoch=0") }, exitGood, "success\n"},
		{"not verified", func(*testing.T, *fakeAuditor) []string { return []string{"--no-verify"} }, exitGood, "-\n"},
		{"its own log directory", func(t *testing.T, f *fakeAuditor) []string {
			f.setNamespace("", "0/"+f.digests[0])
			return append(given, "--log-directory", "../../testdata/vectors/whatsapp-v1/log")
		}, exitGood, "success\n"},
		{"another log", func(*testing.T, *fakeAuditor) []string {
			return append(given, "--log-directory", "../../testdata/vectors/whatsapp-v1/tiny")
		}, exitFound, "failed - the log published 30/"},
		{"a damaged proof", func(_ *testing.T, f *fakeAuditor) []string {
			proof := []byte(f.answers[f.proofPath(30)])
			proof[len(proof)/2] ^= 1
			f.set(f.proofPath(30), string(proof))
			return given
		}, exitFound, "failed - "},
		{"no proof", func(_ *testing.T, f *fakeAuditor) []string {
			f.set(f.proofPath(30), "")
			return given
		}, exitFailed, "unknown - the log directory has no proof"},
		{"no log directory", func(_ *testing.T, f *fakeAuditor) []string {
			f.setNamespace("", "0/"+f.digests[0])
			return given
		}, exitFailed, "unknown - the auditor names no log directory"},
		{"no root", func(_ *testing.T, f *fakeAuditor) []string {
			f.setNamespace(f.URL, "")
			return given
		}, exitGood, "success\n"},
		{"another root", func(_ *testing.T, f *fakeAuditor) []string {
			f.setNamespace(f.URL, "30/"+f.digests[29])
			return given
		}, exitFound, "failed - the auditor says that it begins with digest"},
		{"before the root", func(_ *testing.T, f *fakeAuditor) []string {
			f.setNamespace(f.URL, "31/"+f.digests[29])
			return given
		}, exitFound, "failed - the epoch is before epoch 31"},
		{"a log directory of ours", func(_ *testing.T, f *fakeAuditor) []string {
			f.setNamespace("file:///etc", "0/"+f.digests[0])
			return given
		}, exitFailed, "no https URL"},
		{"another key", func(*testing.T, *fakeAuditor) []string {
			return []string{"--verifying-key", "2bbfbb39997fdb95feee40ef9f8827de0256732be06f64ed6408cc7e97c7f4d4"}
		}, exitFound, "failed - no trusted key for the signed digest"},
		{"no key", func(_ *testing.T, f *fakeAuditor) []string {
			f.set("/info", `{"keys":[],"logs":[]}`)
			return nil
		}, exitFailed, "publishes no key"},
		{"a page in its place", func(_ *testing.T, f *fakeAuditor) []string {
			f.set(f.auditPath(30), "<!DOCTYPE html>")
			return given
		}, exitFailed, "not an auditor's answer"},
		{"nonsense", func(_ *testing.T, f *fakeAuditor) []string {
			f.set(f.auditPath(30), "{}")
			return given
		}, exitFound, "failed - "},
		{"another epoch's", func(_ *testing.T, f *fakeAuditor) []string {
			f.set(f.auditPath(30), f.answers[f.auditPath(29)])
			return given
		}, exitFound, "failed - "},
		{"a damaged signature", func(_ *testing.T, f *fakeAuditor) []string {
			f.set(f.auditPath(30), strings.Replace(f.answers[f.auditPath(30)], `"signature":"`, `"signature":"00`, 1))
			return given
		}, exitFound, "failed - "},
		{"the epoch before by another", func(_ *testing.T, f *fakeAuditor) []string {
			f.set(f.auditPath(29), f.answers[f.auditPath(28)])
			return given
		}, exitFound, "failed - the signed digest of epoch 29"},
		{"the epoch before is not there", func(_ *testing.T, f *fakeAuditor) []string {
			f.set(f.auditPath(29), "")
			return given
		}, exitFailed, "unknown - the auditor has no signed digest of epoch 29"},
		{"backwards", func(t *testing.T, f *fakeAuditor) []string {
			return []string{"--verifying-key", f.sign(t, 7, func(s *signature.SignedDigest) { s.Timestamp = 1_700_000_000_000 - s.Epoch })}
		}, exitFound, "failed - timestamp is before the previous epoch's"},
		{"another digest than it says that it verified", func(t *testing.T, f *fakeAuditor) []string {
			return []string{"--verifying-key", f.sign(t, 7, func(s *signature.SignedDigest) {
				if s.Epoch == 30 {
					s.Digest[0] ^= 1
				}
			})}
		}, exitFound, "failed - the auditor says that it verified digest"},
		{"none verified", func(_ *testing.T, f *fakeAuditor) []string {
			f.set("/namespaces/"+fakeNamespace+"/last-verified-epoch", "")
			return given
		}, exitFailed, "has verified no epoch"},
		{"not signed", func(*testing.T, *fakeAuditor) []string { return append(given, "--epoch=31") }, exitFailed, "has no signed digest"},
		{"unknown log", func(_ *testing.T, f *fakeAuditor) []string {
			f.set("/namespaces/"+fakeNamespace, "")
			return given
		}, exitFailed, "does not know"},
		{"over the limits", func(*testing.T, *fakeAuditor) []string { return append(given, "--max-bytes=100") }, exitFound, "failed - batch_too_large"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFakeAuditor(t)
			status, stdout, stderr := called(t, auditArgs(t, f, test.change(t, f)...)...)
			said := stdout
			if !strings.Contains(test.want, "unknown - ") && test.status == exitFailed {
				said = stderr
			}
			if status != test.status || !strings.Contains(said, test.want) {
				t.Errorf("exit %d, want %d and %q\n%s%s", status, test.status, test.want, stdout, stderr)
			}
		})
	}
}

// A key is trusted since its first use. Another one is refused until it is accepted. If it only stands
// there, as the next one does, what the first signed is good, and it is told.
func TestPinnedKeys(t *testing.T) {
	t.Parallel()
	f := newFakeAuditor(t)
	args := auditArgs(t, f)
	first := f.sign(t, 7, func(*signature.SignedDigest) {})
	if status, stdout, stderr := called(t, args...); status != exitGood || !strings.Contains(stderr, first) || !strings.Contains(stderr, "from this first use on") {
		t.Fatalf("first use: exit %d\n%s%s", status, stdout, stderr)
	}
	if status, stdout, stderr := called(t, args...); status != exitGood || strings.Contains(stderr, first) {
		t.Fatalf("second use: exit %d\n%s%s", status, stdout, stderr)
	}
	second := f.sign(t, 8, func(*signature.SignedDigest) {})
	refused := func(when string) {
		t.Helper()
		status, stdout, _ := called(t, args...)
		if status != exitFound || !strings.Contains(stdout, second) || !strings.Contains(stdout, first) || !strings.Contains(stdout, "--accept-new-key") {
			t.Errorf("%s: exit %d\n%s", when, status, stdout)
		}
	}
	refused("another key")
	f.sign(t, 7, func(*signature.SignedDigest) {})
	f.set("/info", `{"keys":[{"public_key":"`+first+`","not_before":0},{"public_key":"`+second+`","not_before":0}],"logs":[]}`)
	if status, stdout, stderr := called(t, args...); status != exitGood || !strings.Contains(stderr, second) || !strings.Contains(stderr, "not trusted") {
		t.Errorf("one more key: exit %d\n%s%s", status, stdout, stderr)
	}
	if both, err := os.ReadFile(args[len(args)-1]); err != nil || strings.Contains(string(both), second) {
		t.Errorf("one more key was remembered: %s, error %v", both, err)
	}
	announced := f.answers["/info"]
	f.sign(t, 8, func(*signature.SignedDigest) {})
	f.set("/info", announced)
	refused("one more key, once it signs")

	f.sign(t, 8, func(*signature.SignedDigest) {})
	if status, stdout, stderr := called(t, append(args, "--accept-new-key")...); status != exitGood {
		t.Fatalf("accepted: exit %d\n%s%s", status, stdout, stderr)
	}
	if status, stdout, stderr := called(t, args...); status != exitGood || stderr == "" {
		t.Errorf("afterwards: exit %d\n%s%s", status, stdout, stderr)
	}
	f.sign(t, 7, func(*signature.SignedDigest) {}) // epochs from before stay good
	if status, stdout, stderr := called(t, args...); status != exitGood {
		t.Errorf("the first key's: exit %d\n%s%s", status, stdout, stderr)
	}
}

// A key that has signed nothing that could be checked is not remembered, and pins that cannot be
// written are told.
func TestPinsAreWrittenForWhatWasChecked(t *testing.T) {
	t.Parallel()
	f := newFakeAuditor(t)
	f.set("/info", `{"keys":[{"public_key":"2bbfbb39997fdb95feee40ef9f8827de0256732be06f64ed6408cc7e97c7f4d4","not_before":0}],"logs":[]}`)
	args := auditArgs(t, f)
	if status, stdout, stderr := called(t, args...); status != exitFound {
		t.Errorf("exit %d\n%s%s", status, stdout, stderr)
	}
	pins := args[len(args)-1]
	if _, err := os.Stat(pins); !os.IsNotExist(err) {
		t.Errorf("the key was remembered: %v", err)
	}
	if err := os.Mkdir(pins, 0o700); err != nil {
		t.Fatal(err)
	}
	if status, stdout, stderr := called(t, args...); status != exitFailed || strings.Contains(stdout, "success") {
		t.Errorf("exit %d\n%s%s", status, stdout, stderr)
	}
}

// A range asks for each signed digest once, and goes on where one is wrong or missing.
func TestAuditRange(t *testing.T) {
	t.Parallel()
	f := newFakeAuditor(t)
	f.set(f.auditPath(12), "")
	f.set(f.auditPath(20), f.answers[f.auditPath(19)])
	status, stdout, stderr := called(t, auditArgs(t, f, "--verifying-key", vectorKey, "--from=1", "--to=30", "--json")...)
	if status != exitFound {
		t.Errorf("exit %d\n%s%s", status, stdout, stderr)
	}
	epoch := 0
	for line := range strings.Lines(stdout) {
		epoch++
		var e auditedEpoch
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Epoch != uint64(epoch) {
			t.Fatalf("%s: %v", line, err)
		}
		want := map[int]string{12: outcomeUnknown, 13: outcomeUnknown, 20: outcomeRejected, 21: outcomeRejected}[epoch]
		if want == "" {
			want = "verified"
		}
		if e.Outcome != want {
			t.Errorf("epoch %d is %s, want %s: %s", epoch, e.Outcome, want, line)
		}
	}
	if epoch != lastVector {
		t.Errorf("%d epochs", epoch)
	}
	// Two epochs are audited at once, and may both ask for what is between them.
	if n := f.requests(f.auditPath(7)); n > 2 {
		t.Errorf("epoch 7 was asked for %d times", n)
	}
	status, stdout, _ = called(t, auditArgs(t, f, "--verifying-key", vectorKey, "--from=11", "--to=13")...)
	if status != exitFailed || !strings.Contains(stdout, "epoch 11: success\nepoch 12: unknown - ") || !strings.HasSuffix(stdout, "\n1 of 3 good, 2 unknown\n") {
		t.Errorf("exit %d\n%s", status, stdout)
	}
}

// On a terminal a bar shows how much of a proof has come, or how many epochs are done, and is gone
// from the line before a result is printed.
func TestProgressOfAudits(t *testing.T) {
	t.Parallel()
	f := newFakeAuditor(t)
	for title, change := range map[string]func(*auditCmd){
		"proof": func(*auditCmd) {}, "audit": func(c *auditCmd) { c.From, c.To = 1, 30 },
	} {
		var terminal bytes.Buffer // both outputs
		a := &app{out: &output{w: &terminal}, bars: &bars{w: &terminal, enabled: true}}
		c := auditCmd{Jobs: 2}
		c.RemoteURL, c.Namespace, c.VerifyingKey = f.URL, fakeNamespace, []string{vectorKey}
		change(&c)
		if err := c.Run(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(terminal.String(), title+"  ") {
			t.Errorf("no bar of the %s: %q", title, terminal.String())
		}
		for line := range strings.Lines(terminal.String()) {
			if shown := line[strings.LastIndexByte(line, '\r')+1:]; strings.Contains(shown, "success") && strings.Contains(shown, title) {
				t.Errorf("a result beside a bar: %q", line)
			}
		}
		if a.bars.isShown() {
			t.Errorf("the bar of the %s stays", title)
		}
	}
}

// The environment of plexi is read, and that of ktaudit goes before it.
func TestPlexiEnvironment(t *testing.T) {
	f := newFakeAuditor(t)
	t.Setenv("PLEXI_REMOTE_URL", f.URL)
	t.Setenv("PLEXI_NAMESPACE", fakeNamespace)
	t.Setenv("PLEXI_VERIFYING_KEY", vectorKey)
	if status, stdout, stderr := called(t, "audit", "--epoch=3"); status != exitGood || stdout != "success\n" {
		t.Errorf("exit %d\n%s%s", status, stdout, stderr)
	}
	t.Setenv("PLEXI_VERIFICATION_DISABLED", "true")
	if status, stdout, stderr := called(t, "audit", "--epoch=3"); status != exitGood || stdout != "-\n" {
		t.Errorf("exit %d\n%s%s", status, stdout, stderr)
	}
	t.Setenv("KTAUDIT_REMOTE_URL", "http://127.0.0.1:1/path")
	if status, _, stderr := called(t, "ls"); status != exitFailed || !strings.Contains(stderr, "127.0.0.1:1/path") {
		t.Errorf("exit %d\n%s", status, stderr)
	}
}

// Plain http is for this machine, unless the user accepts it.
func TestAllowHTTP(t *testing.T) {
	t.Parallel()
	const url = "http://auditor.invalid"
	if status, _, stderr := called(t, "ls", "-r", url); status != exitFailed || !strings.Contains(stderr, "--allow-http") {
		t.Errorf("exit %d\n%s", status, stderr)
	}
	if _, err := (remoteFlag{RemoteURL: url, AllowHTTP: true}).client(); err != nil {
		t.Error(err)
	}
	for _, other := range []string{"http://127.0.0.1/path", "http://auditor.invalid/path", "127.0.0.1:8080"} {
		if _, err := (remoteFlag{RemoteURL: other}).client(); err == nil || strings.Contains(err.Error(), "--allow-http") {
			t.Errorf("%s: %v, which --allow-http does not help", other, err)
		}
	}
}

// What an auditor says reaches a terminal in no other form than as text.
func TestHostileAuditorOnATerminal(t *testing.T) {
	t.Parallel()
	f := newFakeAuditor(t)
	f.set("/namespaces", `{"namespaces":[{"name":"a\u001b[2J\u202e","status":"\nOnline","log_directory":"\u0007","ciphersuite":7}]}`)
	status, stdout, _ := called(t, "ls", "--long", "-r", f.URL)
	if status != exitGood || strings.ContainsAny(stdout, "\x1b\u202e\x07") || !strings.Contains(stdout, `Status     : \nOnline`) {
		t.Errorf("exit %d\n%q", status, stdout)
	}
}

func TestLocalAudit(t *testing.T) {
	t.Parallel()
	f := newFakeAuditor(t)
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	signed, proof := write("signed.json", f.answers[f.auditPath(12)]), write("proof", f.answers[f.proofPath(12)])
	damaged := write("damaged", f.answers[f.proofPath(12)][:1000])
	key := "--verifying-key=" + vectorKey
	for _, test := range []struct {
		name   string
		args   []string
		status int
		want   string
	}{
		{"signature", []string{signed, key}, exitGood, "success\nnot checked: the proof"},
		{"proof", []string{signed, key, "--proof-path", proof}, exitGood, "success\nnot checked: whether the epoch before has digest " + f.digests[11]},
		{"proof from a digest", []string{signed, key, "--proof-path", proof, "--previous", f.digests[11]}, exitGood, "success\nnot checked: other epochs"},
		{"another digest", []string{signed, key, "--proof-path", proof, "--previous", f.digests[10]}, exitFound, "failed - previous_digest_mismatch"},
		{"another epoch's proof", []string{signed, key, "--proof-path", write("p", f.answers[f.proofPath(13)])}, exitFound, "failed - digest_mismatch"},
		{"damaged", []string{signed, key, "--proof-path", damaged}, exitFound, "failed - malformed_proof"},
		{"no proof", []string{signed, key, "--proof-path", damaged + "x"}, exitFailed, "no such file"},
		{"another key", []string{signed, "--verifying-key=2bbfbb39997fdb95feee40ef9f8827de0256732be06f64ed6408cc7e97c7f4d4"}, exitFound, "failed - no trusted key"},
		{"no signature", []string{write("x", "{}"), key}, exitFound, "failed - malformed signed digest"},
		{"large", []string{write("x", strings.Repeat(" ", 1<<20)), key, "--long"}, exitFound, "failed - malformed signed digest"},
		{"no key", []string{signed}, exitFailed, "--verifying-key"},
		{"unchecked", []string{signed, "--no-verify"}, exitGood, "-\nnot checked: the signature\nnot checked: the proof"},
		{"no file", []string{signed + "x", key}, exitFailed, "no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			status, stdout, stderr := called(t, append([]string{"local-audit"}, test.args...)...)
			if status != test.status || !strings.Contains(stdout+stderr, test.want) {
				t.Errorf("exit %d, want %d and %q\n%s%s", status, test.status, test.want, stdout, stderr)
			}
		})
	}
}
