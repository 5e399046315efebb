package targets

import (
	"encoding/base64"
	"errors"
	"mime"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
	"gocloud.dev/blob/memblob"
)

func TestEmailArrivesBySecurity(t *testing.T) {
	t.Parallel()
	for _, security := range []string{SecurityTLS, SecurityStartTLS, SecurityNone} {
		server := newMailServer(t, security)
		settings := server.settings(security)
		must(t, server.send(t, settings, rejected))
		got, m := server.last(t)
		if got.encrypted != (security != SecurityNone) || got.from != "kt@example.org" || !slices.Equal(got.to, []string{"on-call@example.org"}) ||
			security != SecurityNone && got.user != "kt:hunter2-hunter2" {
			t.Errorf("%s: %+v", security, got)
		}
		if subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil || subject != "[ktaudit] "+namespace+": Critical: epoch rejected" {
			t.Errorf("%s: subject %q, %v", security, subject, err)
		}
		if kind := m.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain") || m.Header.Get("Auto-Submitted") != "auto-generated" {
			t.Errorf("%s: %v", security, m.Header)
		}
		if !strings.Contains(string(got.data), "ktaudit incidents show rejected/000000000012") {
			t.Errorf("%s: %s", security, got.data)
		}
		if security == SecurityNone {
			continue
		}
		settings.TLS.CA = ""
		if err := server.send(t, settings, rejected); err == nil {
			t.Errorf("%s: a server that nobody vouches for is believed", security)
		}
	}
	// A server without STARTTLS, or one from whose answers somebody has taken it, gets nothing.
	server := newMailServer(t, SecurityNone)
	if err := server.send(t, server.settings(SecurityStartTLS), rejected); err == nil || len(server.mails) > 0 {
		t.Errorf("sent without STARTTLS: %v", err)
	}
}

// A server may have an IPv6 address, and a sender an @ in quotes.
func TestEmailOddAddresses(t *testing.T) {
	t.Parallel()
	for _, security := range []string{SecurityTLS, SecurityNone} {
		server := newMailServer(t, security)
		settings := server.settings(security)
		settings.Email.Server = strings.Replace(server.address, "127.0.0.1", "[::ffff:127.0.0.1]", 1) // the same machine, also without IPv6
		settings.Email.From = `"a@b"@Example.org`
		if security == SecurityTLS {
			settings.TLS.ServerName = "127.0.0.1"
		}
		must(t, server.send(t, settings, rejected))
		if _, m := server.last(t); strings.Count(m.Header.Get("Message-ID"), "@") != 1 || !strings.HasSuffix(m.Header.Get("Message-ID"), "@example.org>") {
			t.Errorf("%s: Message-ID %s", security, m.Header.Get("Message-ID"))
		}
	}
}

// The same alert has the same Message-ID, and the end of a condition is in the thread of its
// beginning.
func TestEmailThreads(t *testing.T) {
	t.Parallel()
	server := newMailServer(t, SecurityNone)
	headers := func(a alert.Alert) (id, references string) {
		t.Helper()
		must(t, server.send(t, server.settings(SecurityNone), a))
		_, m := server.last(t)
		return m.Header.Get("Message-ID"), m.Header.Get("References")
	}
	id, thread := headers(silent)
	again, _ := headers(silent)
	endID, endThread := headers(resolved(silent, began.Add(time.Hour)))
	otherID, otherThread := headers(rejected)
	if id == "" || id != again || id == endID || id == otherID || thread == "" || thread != endThread || thread == otherThread {
		t.Errorf("IDs %q, %q, %q, %q; threads %q, %q, %q", id, again, endID, otherID, thread, endThread, otherThread)
	}
	for _, one := range []string{id, endID, thread} {
		if !strings.HasPrefix(one, "<") || !strings.HasSuffix(one, "@example.org>") {
			t.Errorf("%q is no message ID", one)
		}
	}
}

// Text from a log is text: it begins no header, and ends no message.
func TestEmailOfHostileText(t *testing.T) {
	t.Parallel()
	server := newMailServer(t, SecurityNone)
	a := rejected
	a.Summary = "x\r\nBcc: everyone@example.org\r\n\r\n<script>"
	a.Detail = "\r\n.\r\nMAIL FROM:<evil@example.org>\r\n" + strings.Repeat("ä", 5000)
	a.Reason = ""
	must(t, server.send(t, server.settings(SecurityNone), filled(a)))
	got, m := server.last(t)
	if m.Header.Get("Bcc") != "" || len(server.mails) != 1 || len(got.to) != 1 || got.from != "kt@example.org" {
		t.Errorf("%+v, %v", got.to, m.Header)
	}
	for line := range strings.SplitSeq(string(got.data), "\r\n") {
		if len(line) > 998 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
}

func TestEmailFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer  error
		auth    bool
		refused bool
	}{
		"no such address": {answer: &smtp.SMTPError{Code: 550, Message: "no such user"}, refused: true},
		"greylisted":      {answer: &smtp.SMTPError{Code: 451, Message: "try later"}},
		"wrong password":  {auth: true, refused: true},
	} {
		server := newMailServer(t, SecurityTLS)
		server.answer, server.refuseAuth = func(string) error { return c.answer }, c.auth
		err := server.send(t, server.settings(SecurityTLS), rejected)
		if err == nil || jsonpost.Refused(err) != c.refused || jsonpost.RefusesAll(err) != c.refused || hasSecret(err) || len(server.mails) > 0 {
			t.Errorf("%s: %v", name, err)
		}
		answer := &smtp.SMTPError{}
		if errors.As(c.answer, &answer) && !strings.Contains(err.Error(), answer.Message) {
			t.Errorf("%s: %v does not say %q", name, err, answer.Message)
		}
	}
	gone := newMailServer(t, SecurityNone)
	settings := gone.settings(SecurityNone)
	settings.Email.Server = "127.0.0.1:1"
	if err := gone.send(t, settings, rejected); err == nil || jsonpost.Refused(err) {
		t.Errorf("a server that is not there: %v", err)
	}
}

// hasSecret reports whether an error shows the password, as it is or as it was sent.
func hasSecret(err error) bool {
	return strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), base64.StdEncoding.EncodeToString([]byte("\x00kt\x00hunter2-hunter2")))
}

// A message that the server has taken is sent, however the connection ends.
func TestEmailIsSentOnceThoughTheServerHangsUp(t *testing.T) {
	t.Parallel()
	server := newMailServer(t, SecurityNone)
	server.hangsUp.Store(true)
	must(t, server.send(t, server.settings(SecurityNone), rejected))
	if len(server.mails) != 1 {
		t.Errorf("%d mails came", len(server.mails))
	}
}

// Each recipient is a target. One whom the server refuses, for now, for good or by hanging up, keeps
// no alert from the others, and gets it himself once the server takes it. Nobody gets it twice.
func TestEmailReachesEachRecipient(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]error{
		"greylisted": &smtp.SMTPError{Code: 451, Message: "try later"},
		"full":       &smtp.SMTPError{Code: 452, Message: "mailbox full"},
		"hung up on": &smtp.SMTPError{Code: 421, Message: "closing the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newMailServer(t, SecurityTLS)
			var refused atomic.Int64
			server.answer = func(to string) error {
				if to == "boss@example.org" && refused.Add(1) == 1 {
					return refusal
				}
				return nil
			}
			settings := server.settings(SecurityTLS)
			settings.Email.To = []string{"on-call@example.org", "boss@example.org", "desk@example.org"}
			made, err := New("email", settings)
			must(t, err)
			store := auditstore.New(memblob.OpenBucket(nil))
			raise(t, store, rejected)
			start(t, dispatcher(t, store, made...))
			eventually(t, "the notice is closed, for all have it", func() bool {
				open, err := store.Outbox(namespace).Open(t.Context())
				return err == nil && len(open) == 0
			})
			var to []string
			server.mu.Lock()
			defer server.mu.Unlock()
			for _, m := range server.mails {
				to = append(to, m.to...)
			}
			slices.Sort(to)
			if want := []string{"boss@example.org", "desk@example.org", "on-call@example.org"}; !slices.Equal(to, want) || refused.Load() != 2 {
				t.Errorf("mails for %q, want %q; the refused one was tried %d times", to, want, refused.Load())
			}
		})
	}
}

// Recipients have names that last, whoever else gets mail.
func TestEmailNames(t *testing.T) {
	t.Parallel()
	settings := newMailServer(t, SecurityNone).settings(SecurityNone)
	names := func(name string, to ...string) (all []string) {
		settings.Name, settings.Email.To = name, to
		made, err := New("email", settings)
		must(t, err)
		for _, target := range made {
			all = append(all, target.Name)
		}
		return all
	}
	for _, name := range []string{"", "mail", strings.Repeat("m", maxEmailName)} {
		alone, both := names(name, "a@example.org"), names(name, "b@example.org", "a@example.org")
		if len(alone) != 1 || len(both) != 2 || both[1] != alone[0] || both[0] == both[1] || CheckName("", alone[0]) != nil {
			t.Errorf("%q: %q and %q", name, alone, both)
		}
	}
	if CheckName("email", strings.Repeat("m", maxEmailName+1)) == nil {
		t.Error("a name is taken to which no address can be added")
	}
}

// A server that accepts a connection and says nothing does not hold up others for long.
func TestEmailServerThatHangs(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	s := &mailServer{address: listener.Addr().String()}
	start := time.Now()
	if err := s.send(t, s.settings(SecurityNone), rejected); err == nil || time.Since(start) > 2*alert.SendTimeout {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
}

func TestEmailSettings(t *testing.T) {
	t.Parallel()
	good := Email{Server: "smtp.example.org:465", Security: SecurityTLS, From: "kt@example.org", To: []string{"on-call@example.org"}}
	must(t, good.Check())
	for name, spoil := range map[string]func(*Email){
		"no port":            func(e *Email) { e.Server = "smtp.example.org" },
		"port 0":             func(e *Email) { e.Server = "smtp.example.org:0" },
		"no host":            func(e *Email) { e.Server = ":25" },
		"without TLS":        func(e *Email) { e.Security = SecurityNone },
		"another security":   func(e *Email) { e.Security = "ssl" },
		"no sender":          func(e *Email) { e.From = "" },
		"nobody":             func(e *Email) { e.To = nil },
		"everybody":          func(e *Email) { e.To = make([]string, maxRecipients+1) },
		"somebody twice":     func(e *Email) { e.To = []string{"a@example.org", "A <a@EXAMPLE.org>"} },
		"no address":         func(e *Email) { e.To = []string{"on-call"} },
		"a header in it":     func(e *Email) { e.From = "kt@example.org\r\nBcc: x@example.org" },
		"two in one address": func(e *Email) { e.To = []string{"a@example.org, b@example.org"} },
	} {
		e := good
		spoil(&e)
		if err := e.Check(); err == nil {
			t.Errorf("%s: %+v is taken", name, e)
		}
	}
	good.Server, good.Security = "[::1]:25", SecurityNone
	must(t, good.Check())
}
