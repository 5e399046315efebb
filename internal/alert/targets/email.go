package targets

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/alert/message"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
	"github.com/ktaudit/ktaudit/internal/text"
	gomail "github.com/wneessen/go-mail"
)

// How a mail server is reached.
const (
	SecurityTLS      = "tls"
	SecurityStartTLS = "starttls"
	SecurityNone     = "none"
)

const (
	// emailTimeout bounds each half of a delivery: to log in, and to hand the message over.
	emailTimeout = alert.SendTimeout / 2
	// maxSubject keeps a subject on a phone's screen, in bytes; maxReferences is how many incidents
	// a message names for threads.
	maxSubject, maxReferences = 150, 50
	maxAnswer                 = 300
	// maxRecipients is how many connections to the mail server a message takes at most.
	maxRecipients = 20
)

// Check says what is wrong with the settings of e-mail.
func (e Email) Check() error {
	host, port, err := net.SplitHostPort(e.Server)
	if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || portErr != nil || n == 0 {
		return fmt.Errorf("%.100q is not a mail server such as smtp.example.org:587", e.Server)
	}
	switch e.Security {
	case SecurityTLS, SecurityStartTLS:
	case SecurityNone:
		if !isLoopback(host) {
			return fmt.Errorf("%s is not on this machine, and alerts without TLS can be read, suppressed and forged: use %s or %s",
				host, SecurityTLS, SecurityStartTLS)
		}
	default:
		return fmt.Errorf("%.60q: want %s, %s or %s", e.Security, SecurityTLS, SecurityStartTLS, SecurityNone)
	}
	if len(e.To) == 0 || len(e.To) > maxRecipients {
		return fmt.Errorf("%d addresses to send to: want 1 to %d; a mailing list's can be one of them", len(e.To), maxRecipients)
	}
	seen := map[string]bool{}
	for i, text := range append([]string{e.From}, e.To...) {
		box := mailbox(text)
		switch {
		case box == "":
			return fmt.Errorf("%.100q is not an e-mail address", text)
		case i > 0 && seen[box]:
			return fmt.Errorf("%.100q would get each alert twice: remove one", text)
		case i > 0:
			seen[box] = true
		}
	}
	return nil
}

// Identity tells an address that gets mail from all others, however it is written.
func (e Email) Identity(to string) string {
	return strings.Join([]string{e.Server, mailbox(e.From), mailbox(to)}, "\n")
}

// mailbox is where mail to an address goes, which may have a name in front; empty if it is none.
func mailbox(text string) string {
	address, err := mail.ParseAddress(text)
	if err != nil {
		return ""
	}
	at := strings.LastIndex(address.Address, "@")
	return address.Address[:at] + strings.ToLower(address.Address[at:])
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// newEmail makes a target of each address, so that a recipient whom the server refuses, now or for
// good, neither keeps a message from the others nor loses it himself.
func newEmail(s Settings) ([]alert.Target, error) {
	if err := s.Email.Check(); err != nil {
		return nil, err
	}
	options, err := s.emailOptions()
	if err != nil {
		return nil, err
	}
	var all []alert.Target
	for _, to := range s.Email.To {
		name := s.Name
		if name != "" {
			name = fmt.Sprintf("%s-%.4x", name, sha256.Sum256([]byte(mailbox(to))))
		}
		name, err := nameOrDefault(name, "email", s.Email.Identity(to))
		if err != nil {
			return nil, err
		}
		all = append(all, alert.Target{Name: name, Send: func(ctx context.Context, alerts []alert.Alert) error {
			return s.emailError(s.sendEmail(ctx, options, message.Of(alerts, s.Runbook), to))
		}})
	}
	return all, nil
}

func (s Settings) sendEmail(ctx context.Context, options []gomail.Option, m message.Message, to string) error {
	msg, err := s.Email.compose(m, to)
	if err != nil {
		return &jsonpost.Refusal{Err: err}
	}
	host, _, _ := net.SplitHostPort(s.Email.Server)
	if strings.Contains(host, ":") { // of IPv6, where gomail puts a port behind it
		host = "[" + host + "]"
	}
	client, err := gomail.NewClient(host, options...)
	if err != nil {
		return &jsonpost.Refusal{Err: err, All: true}
	}
	err = client.DialAndSendWithContext(ctx, msg)
	if msg.IsDelivered() {
		return nil // however the connection ended then
	}
	return err
}

func (s Settings) emailOptions() ([]gomail.Option, error) {
	host, port, _ := net.SplitHostPort(s.Email.Server)
	number, _ := strconv.Atoi(port) // Check has read both
	options := []gomail.Option{
		gomail.WithPort(number), gomail.WithTimeout(emailTimeout), gomail.WithoutNoop(), gomail.WithoutRset(),
	}
	switch s.Email.Security {
	case SecurityTLS:
		options = append(options, gomail.WithSSL())
	case SecurityStartTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	}
	if s.Email.Security != SecurityNone {
		c, err := s.TLS.Config()
		if err != nil {
			return nil, err
		}
		if c.ServerName == "" {
			c.ServerName = host
		}
		options = append(options, gomail.WithTLSConfig(c))
	}
	if s.Email.Username != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover),
			gomail.WithUsername(s.Email.Username), gomail.WithPassword(string(s.Secret)))
	}
	return options, nil
}

// compose makes a message. The same alerts make one with the same Message-ID, and the end of a
// condition refers to the incident that its beginning refers to, so that mail programs show them
// together.
func (e Email) compose(m message.Message, to string) (*gomail.Msg, error) {
	msg := gomail.NewMsg()
	if err := errors.Join(msg.From(e.From), msg.To(to)); err != nil {
		return nil, err
	}
	from := mailbox(e.From)
	domain := from[strings.LastIndex(from, "@")+1:]
	var references []string
	for _, a := range m.Alerts[:min(len(m.Alerts), maxReferences)] {
		references = append(references, fmt.Sprintf("<incident-%.16x@%s>", sha256.Sum256([]byte(a.Namespace+"\n"+a.Incident)), domain))
	}
	msg.Subject(text.Clean(fmt.Sprintf("[ktaudit] %s: %s", m.Namespace, m.Title), maxSubject))
	msg.SetMessageIDWithValue(m.ID + "@" + domain)
	msg.SetDateWithValue(time.Now())
	msg.SetGenHeader("References", strings.Join(references, " "))
	msg.SetGenHeader("In-Reply-To", references[0])
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // so that no absence notice answers
	if m.Severity == alert.Critical && m.Status == message.Firing {
		msg.SetImportance(gomail.ImportanceHigh)
	}
	msg.SetBodyString(gomail.TypeTextPlain, m.Text())
	return msg, nil
}

// emailError says whether a server will refuse the same again, and hides the password, which a
// server might repeat as it was sent.
func (s Settings) emailError(err error) error {
	if err == nil || jsonpost.Refused(err) {
		return err
	}
	code, all := 0, true // it refused before it saw the message
	if e, ok := errors.AsType[*gomail.SendError](err); ok {
		code = e.ErrorCode()
		all = e.Reason == gomail.ErrSMTPMailFrom || e.Reason == gomail.ErrSMTPRcptTo
	}
	if e, ok := errors.AsType[*textproto.Error](err); ok {
		code = e.Code
	}
	said := err.Error()
	if len(s.Secret) > 0 {
		user, password := s.Email.Username, string(s.Secret)
		for _, login := range []string{password, "\x00" + user + "\x00" + password, user + "\x00" + user + "\x00" + password} {
			said = strings.ReplaceAll(said, base64.StdEncoding.EncodeToString([]byte(login)), "…")
		}
		said = strings.ReplaceAll(said, password, "…")
	}
	err = fmt.Errorf("mail server %s: %s", s.Email.Server, text.Clean(said, maxAnswer))
	if code >= 500 && code < 600 {
		return &jsonpost.Refusal{Err: err, All: all}
	}
	return err
}
