package targets

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"io"
	"net"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/ktaudit/ktaudit/internal/alert"
)

// mailServer is a mail server on this machine.
type mailServer struct {
	address, ca string
	answer      func(to string) error // nil: every recipient is welcome
	refuseAuth  bool
	hangsUp     atomic.Bool // on QUIT

	mu    sync.Mutex
	mails []receivedMail
}

type receivedMail struct {
	user, from string
	to         []string
	encrypted  bool
	data       []byte
}

// newMailServer starts a server that wants TLS from the first byte, STARTTLS, or none.
func newMailServer(t *testing.T, security string) *mailServer {
	t.Helper()
	web := httptest.NewTLSServer(nil) // for its certificate, which is for 127.0.0.1
	t.Cleanup(web.Close)
	s := &mailServer{ca: filepath.Join(t.TempDir(), "ca.pem")}
	must(t, os.WriteFile(s.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}), 0o600))
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &mailSession{server: s, conn: c}, nil
	}))
	server.Domain, server.ErrorLog = "mail.test", silentLog{}
	certificates := &tls.Config{Certificates: web.TLS.Certificates}
	if security == SecurityStartTLS {
		server.TLSConfig = certificates
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s.address = listener.Addr().String()
	if security == SecurityTLS {
		listener = tls.NewListener(listener, certificates)
	}
	go func() { _ = server.Serve(hangingUp{listener, s}) }()
	t.Cleanup(func() { _ = server.Close() })
	return s
}

// hangingUp are connections that end without an answer to QUIT, if the server is to do that.
type hangingUp struct {
	net.Listener
	server *mailServer
}

func (l hangingUp) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil && l.server.hangsUp.Load() {
		c = withoutQuit{c}
	}
	return c, err
}

type withoutQuit struct{ net.Conn }

func (c withoutQuit) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if bytes.HasPrefix(p[:n], []byte("QUIT")) {
		c.Close()
		return 0, io.EOF
	}
	return n, err
}

type silentLog struct{}

func (silentLog) Printf(string, ...any) {}
func (silentLog) Println(...any)        {}

type mailSession struct {
	server *mailServer
	conn   *smtp.Conn
	mail   receivedMail
}

func (s *mailSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if s.server.refuseAuth {
			login := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
			return &smtp.SMTPError{Code: 535, Message: "no such password: " + password + " in " + login}
		}
		s.mail.user = user + ":" + password
		return nil
	}), nil
}

func (s *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	_, s.mail.encrypted = s.conn.TLSConnectionState()
	s.mail.from = from
	return nil
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.server.answer != nil {
		if err := s.server.answer(to); err != nil {
			return err
		}
	}
	s.mail.to = append(s.mail.to, to)
	return nil
}

func (s *mailSession) Data(r io.Reader) (err error) {
	s.mail.data, err = io.ReadAll(r)
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.mails = append(s.server.mails, s.mail)
	return err
}

func (s *mailSession) Reset()      { s.mail.to = nil }
func (*mailSession) Logout() error { return nil }

// settings are for mail to a server.
func (s *mailServer) settings(security string) Settings {
	settings := Settings{
		Email: Email{Server: s.address, Security: security, From: "ktaudit <kt@example.org>", To: []string{"on-call@example.org"}},
	}
	if security != SecurityNone {
		settings.TLS.CA = s.ca
		settings.Email.Username, settings.Secret = "kt", []byte("hunter2-hunter2")
	}
	return settings
}

func (s *mailServer) send(t *testing.T, settings Settings, alerts ...alert.Alert) error {
	t.Helper()
	return makeTarget(t, "email", settings).Send(t.Context(), alerts)
}

// last parses the last mail.
func (s *mailServer) last(t *testing.T) (receivedMail, *mail.Message) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mails) == 0 {
		t.Fatal("no mail came")
	}
	got := s.mails[len(s.mails)-1]
	m, err := mail.ReadMessage(bytes.NewReader(got.data))
	must(t, err)
	return got, m
}
