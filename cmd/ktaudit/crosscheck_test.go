package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/signature"
)

// remoteAuditor serves what an auditor signed of a log called example.
type remoteAuditor struct {
	*httptest.Server
	signed map[string][]byte // by epoch
	key    string
}

// newRemoteAuditor simulates a log in the directory "log" of an audit, and an auditor that signs
// it.
func newRemoteAuditor(t *testing.T, epochs uint64) (audited, *remoteAuditor) {
	t.Helper()
	a := audited{t, t.TempDir()}
	for _, dir := range []string{"audit", "log", "signed"} {
		jobstest.Must(t, os.Mkdir(filepath.Join(a.dir, dir), 0o755))
	}
	log, err := blobstore.OpenBucket(t.Context(), filepath.Join(a.dir, "log"))
	jobstest.Must(t, err)
	defer log.Close()
	signed, err := blobstore.OpenBucket(t.Context(), filepath.Join(a.dir, "signed"))
	jobstest.Must(t, err)
	defer signed.Close()
	_, err = simlog.Write(t.Context(), log, signed, simlog.Options{Epochs: epochs, Namespace: "example", SigningKey: jobstest.Key()}, nil)
	jobstest.Must(t, err)
	r := &remoteAuditor{signed: map[string][]byte{}, key: fmt.Sprintf("%x", []byte(jobstest.Key().Public().(ed25519.PublicKey)))}
	for epoch := uint64(1); epoch <= epochs; epoch++ {
		data, err := signed.ReadAll(t.Context(), fmt.Sprintf("%d.json", epoch))
		jobstest.Must(t, err)
		r.signed[fmt.Sprint(epoch)] = data
	}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		epoch, _ := strings.CutPrefix(request.URL.Path, "/namespaces/example/audits/")
		if r.signed[epoch] == nil {
			http.NotFound(w, request)
			return
		}
		_, _ = w.Write(r.signed[epoch])
	}))
	t.Cleanup(r.Close)
	return a, r
}

// Workers take signed digests from an auditor as from a bucket.
func TestSignaturesFromAnAuditor(t *testing.T) {
	t.Parallel()
	a, r := newRemoteAuditor(t, 3)
	out, err := a.command("run", "--from", "1", "--to", "3", "--signatures", "plexi+"+r.URL+"/example", "--verifying-key", r.key, "--json").Output()
	var status report.Status
	if err == nil {
		err = json.Unmarshal(out, &status)
	}
	if err != nil || status.Head != 3 {
		t.Fatalf("%v, %s", err, out)
	}
	if out, err := a.command("show", "2", "--json").Output(); err != nil || !bytes.Contains(out, []byte(`"status":"verified"`)) {
		t.Errorf("%v, %s", err, out)
	}
}

// An auditor that signed something else than the log published is told of by run, makes status exit
// with 1, and is in the bundle of evidence with its signature. Where this auditor signed what the
// log published, the two signatures are proof.
func TestCrossCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		signedHere bool
		exits      int // of verify
		says       string
	}{
		{"what the log published", false, 3, "SHOWN"},
		{"what was signed here", true, 0, "PROVEN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, r := newRemoteAuditor(t, 3)
			own := a.signHere(c.signedHere, r, 2)
			s, err := signature.Sign(jobstest.Key(), signature.CiphersuiteProtobuf, "example", 1780000000000, 2, [32]byte{7})
			jobstest.Must(t, err)
			r.signed["2"], err = json.Marshal(s)
			jobstest.Must(t, err)
			hook := newReceiver(t)
			text := fmt.Sprintf("audit_store: ./audit\nalerts: {webhook: {url: %q, secret_env: SECRET}}\nserve: {listen: 127.0.0.1:8443, keys: {file: %s}}\nnamespaces:\n"+
				"  - {namespace: example, log_directory: ./log, poll: 1s, settle: none, cross_check: {url: %q, keys: [%s]}}\n", hook.URL, own, r.URL, r.key)
			jobstest.Must(t, os.WriteFile(filepath.Join(a.dir, "ktaudit.yaml"), []byte(text), 0o600))
			if out, err := a.configured("run", "--from", "1", "--to", "3").CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}

			run := a.configured("run")
			jobstest.Must(t, run.Start())
			jobstest.Eventually(t, "the webhook is told of the split view", func() bool {
				return strings.Contains(strings.Join(hook.got(), " "), "firing split_view/000000000002-")
			})
			jobstest.Must(t, run.Process.Signal(os.Interrupt))
			_ = run.Wait()

			a.exits(1, "split_view/000000000002-", "status")
			a.exits(1, "split_view", "incidents")
			a.exits(0, "epoch 2", "evidence", "2", "--output", "bundle.tar.zst")
			a.exits(c.exits, c.says, "verify", "bundle.tar.zst")
		})
	}
}

// signHere signs an epoch with a key in a file, which it returns.
func (a audited) signHere(signed bool, r *remoteAuditor, epoch uint64) (file string) {
	a.t.Helper()
	seed := strings.Repeat("05", ed25519.SeedSize)
	jobstest.Must(a.t, os.WriteFile(filepath.Join(a.dir, "key"), []byte(seed+"\n"), 0o600))
	if !signed {
		return "key"
	}
	store, err := auditstore.Open(a.t.Context(), filepath.Join(a.dir, "audit"))
	jobstest.Must(a.t, err)
	defer store.Close()
	signer, err := auditor.New(auditor.Config{
		Namespace: "example", Store: store, Ciphersuite: signature.CiphersuiteProtobuf,
		Keys:     []auditor.Key{{Signer: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, ed25519.SeedSize))}},
		Conflict: func(context.Context, auditor.Conflict) error { return nil },
	})
	jobstest.Must(a.t, err)
	s, err := signature.Parse(r.signed[fmt.Sprint(epoch)])
	jobstest.Must(a.t, err)
	_, err = signer.Sign(a.t.Context(), epoch, s.Digest)
	jobstest.Must(a.t, err)
	return "key"
}

// exits runs a command with the configuration, which must exit with a status and say something.
func (a audited) exits(want int, says string, args ...string) {
	a.t.Helper()
	out, err := a.configured(args...).CombinedOutput()
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code, err = exit.ExitCode(), nil
	}
	if err != nil || code != want || !bytes.Contains(out, []byte(says)) {
		a.t.Errorf("ktaudit %s exits with %d, %v, want %d and %q:\n%s", strings.Join(args, " "), code, err, want, says, out)
	}
}
