package testservers

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/note"
)

// LitewitnessServer is a running litewitness, a C2SP tlog-witness of torchwood's. Its state is in
// SQLite, and stays from one start to the next.
type LitewitnessServer struct {
	server
	sqlite string
	agent  net.Listener
	key    string
}

// Litewitness starts a witness that ends with the test. It knows no log yet: see Know.
func Litewitness(t testing.TB) *LitewitnessServer {
	t.Helper()
	leaveOutIfShort(t)
	s, err := newLitewitness()
	must(t, err)
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), s.agent.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newLitewitness() (*LitewitnessServer, error) {
	binary, err := find("litewitness")
	if err != nil {
		return nil, err
	}
	sqlite, err := find("sqlite3")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ktaudit-litewitness-")
	if err != nil {
		return nil, err
	}
	s := &LitewitnessServer{server: server{binary: binary, dir: dir}, sqlite: sqlite}
	fingerprint, name := "", "litewitness.example/"+rand.Text()
	if fingerprint, err = s.startAgent(name); err == nil {
		s.args = func(addr string) []string {
			return []string{"-name", name, "-db", s.db(), "-ssh-agent", s.socket(), "-key", fingerprint, "-listen", addr}
		}
		s.ready = s.answers
		err = s.startOnFreePort()
	}
	if err != nil {
		if s.agent != nil {
			_ = s.agent.Close()
		}
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// URL is its submission prefix, Key its C2SP verifier key.
func (s *LitewitnessServer) URL() string { return "http://" + s.addr }

// Key is the C2SP verifier key of its cosignatures.
func (s *LitewitnessServer) Key() string { return s.key }

func (s *LitewitnessServer) db() string     { return filepath.Join(s.dir, "witness.db") }
func (s *LitewitnessServer) socket() string { return filepath.Join(s.dir, "agent") }

// Know has the witness know a log, by the C2SP verifier key whose name is its origin. The program
// for it, witnessctl, cannot be built from a module proxy that lacks one of its dependencies.
func (s *LitewitnessServer) Know(vkey string) error {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	empty := sha256.Sum256(nil)
	statements := fmt.Sprintf("PRAGMA busy_timeout = 10000; BEGIN; INSERT INTO log VALUES (%s, 0, %s); INSERT INTO key VALUES (%s, %s); COMMIT;",
		quoted(v.Name()), quoted(base64.StdEncoding.EncodeToString(empty[:])), quoted(v.Name()), quoted(vkey))
	if out, err := exec.Command(s.sqlite, "-batch", "-bail", s.db(), statements).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", s.sqlite, err, out)
	}
	return nil
}

// startAgent makes the witness's key, and serves it as an ssh-agent does, which is where the
// witness has it sign.
func (s *LitewitnessServer) startAgent(name string) (fingerprint string, err error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return "", err
	}
	keys := agent.NewKeyring()
	err = keys.Add(agent.AddedKey{PrivateKey: private})
	sshKey, errKey := ssh.NewPublicKey(public)
	cosigner, errCosigner := torchwood.NewCosignatureSigner(name, private)
	if err = errors.Join(err, errKey, errCosigner); err != nil {
		return "", err
	}
	s.key = cosigner.Verifier().String()
	if s.agent, err = net.Listen("unix", s.socket()); err != nil {
		return "", err
	}
	go func() {
		for {
			connection, err := s.agent.Accept()
			if err != nil {
				return // closed
			}
			go func() {
				defer connection.Close()
				_ = agent.ServeAgent(keys, connection) // until the witness ends
			}()
		}
	}()
	return ssh.FingerprintSHA256(sshKey), nil
}

// answers looks for the key of this very witness.
func (s *LitewitnessServer) answers(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err == nil && !strings.Contains(string(body), s.key) {
		err = fmt.Errorf("the witness on %s is another one", s.addr)
	}
	return err
}
