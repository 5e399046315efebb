package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/api"
	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// ownAuditor is an auditor of ktaudit's own that has signed and verified the test vectors.
func ownAuditor(t *testing.T) (url, key string) {
	t.Helper()
	const vectors = "../../testdata/vectors/whatsapp-v1/log"
	dir := t.TempDir()
	status, stdout, stderr := called(t, "run", "--namespace", fakeNamespace, "--log-directory", vectors, "--audit-store", dir, "--from=1", "--to=30")
	if status != exitGood {
		t.Fatalf("exit %d\n%s%s", status, stdout, stderr)
	}
	store, err := auditstore.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	signer := auditor.Key{Signer: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, ed25519.SeedSize))}
	f := newFakeAuditor(t)
	root := verdict.Anchor{Epoch: 1, Digest: f.digests[1]}
	signing, err := auditor.New(auditor.Config{
		Namespace: fakeNamespace, Store: store, Keys: []auditor.Key{signer}, Ciphersuite: signature.CiphersuiteProtobuf, Root: root,
		Conflict: func(context.Context, auditor.Conflict) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	for epoch := 1; epoch <= lastVector; epoch++ {
		var digest [32]byte
		if _, err := hex.Decode(digest[:], []byte(f.digests[epoch])); err != nil {
			t.Fatal(err)
		}
		if _, err := signing.Sign(t.Context(), uint64(epoch), digest); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewUnstartedServer(nil)
	url = "http://" + server.Listener.Addr().String()
	n := api.Namespace{
		Name: fakeNamespace, Ciphersuite: signature.CiphersuiteProtobuf, Root: root, First: 1, Auditor: signing,
		Proofs: func(_ context.Context, epoch uint64, previous, digest string) (io.ReadCloser, error) {
			opened, err := os.Open(filepath.Join(vectors, fmt.Sprint(epoch), previous, digest))
			if os.IsNotExist(err) {
				return nil, auditstore.ErrNotFound
			}
			return opened, err
		},
	}
	server.Config.Handler, err = api.New(api.Config{
		Store: store, Keys: []auditor.Key{signer}, URL: url, Software: "test", Log: zerolog.Nop(),
		Namespaces: func() []api.Namespace { return []api.Namespace{n} },
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Start()
	t.Cleanup(server.Close)
	return url, signer.Public()
}

// What ktaudit signs and serves, ktaudit audits; and where the client plexi is installed, both
// print the same of it.
func TestAuditOfOwnAPI(t *testing.T) {
	t.Parallel()
	url, key := ownAuditor(t)
	const vectors = "../../testdata/vectors/whatsapp-v1/"
	proofs, err := filepath.Glob(vectors + "log/12/*/*")
	if err != nil || len(proofs) != 1 {
		t.Fatal(proofs, err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"ls", "-r", url}, fakeNamespace + "\n"},
		{[]string{"ls", "-r", url, "--long"}, "  Status     : Online\n  Ciphersuite: ed25519(protobuf)\n  Root       : 1/"},
		{[]string{"ls", "-r", url, "-n", fakeNamespace}, fakeNamespace + "\n"},
		{[]string{"audit", "-r", url, "-n", fakeNamespace, "--verifying-key", key}, "success\n"},
		{[]string{"audit", "-r", url, "-n", fakeNamespace, "--verifying-key", key, "--long"}, "  Epoch height          : 30\n"},
		{[]string{"audit", "-r", url, "-n", fakeNamespace, "--verifying-key", key, "--long", "--epoch", "12"}, "  Proof verification    : success\n"},
		{[]string{"audit", "-r", url, "-n", fakeNamespace, "--verifying-key", key, "--long", "--epoch", "1"}, "  Proof verification    : success\n"},
		{[]string{"audit", "-r", url, "-n", fakeNamespace, "--no-verify", "--long", "--epoch", "7"}, "  Proof verification    : -\n"},
		{[]string{"local-audit", vectors + "signatures/12.json", "--verifying-key", vectorKey, "--long"}, "  Proof verification    : -\n"},
		{[]string{"local-audit", vectors + "signatures/12.json", "--verifying-key", vectorKey, "--proof-path", proofs[0], "--long"}, "  Proof verification    : success\n"},
		{[]string{"local-audit", vectors + "tiny-signatures-bincode/12.json", "--verifying-key", vectorKey}, "success\n"},
	} {
		status, stdout, stderr := called(t, test.args...)
		if status != exitGood || !strings.Contains(stdout, test.want) {
			t.Errorf("%q: exit %d\n%s%s", test.args, status, stdout, stderr)
		}
		plexi, err := exec.LookPath("plexi")
		if err != nil {
			continue
		}
		if theirs, err := exec.CommandContext(t.Context(), plexi, test.args...).Output(); err != nil || string(theirs) != stdout {
			t.Errorf("%q: plexi ends with %v and prints\n%s\nktaudit prints\n%s", test.args, err, theirs, stdout)
		}
	}
	status, stdout, stderr := called(t, "audit", "-r", url, "-n", fakeNamespace, "--verifying-key", key, "--from=1", "--to=30")
	if status != exitGood || !strings.HasSuffix(stdout, "\n30 of 30 good\n") {
		t.Errorf("exit %d\n%s%s", status, stdout, stderr)
	}
	if status, stdout, _ := called(t, "audit", "-r", url, "-n", "unknown", "--verifying-key", key, "--epoch=1"); status != exitFailed {
		t.Errorf("an unknown log: exit %d\n%s", status, stdout)
	}
}
