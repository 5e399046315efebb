package witnesses

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/transparency/tlogproof"
	"golang.org/x/mod/sumdb/note"
)

// Member is one witness.
type Member struct {
	URL string // its submission prefix, below which add-checkpoint is
	Key string // C2SP verifier key of a cosigner
}

// Config is whom to ask, and how.
type Config struct {
	Members []Member
	// Require is how many of the members must have cosigned; 0 only where there are none.
	Require int
	// Timeout is for all requests to one witness about one checkpoint; 0 is for 20 s.
	Timeout time.Duration
	// Transport makes the requests; nil for one that is shared by all that have none.
	Transport http.RoundTripper
}

// Witnesses are the witnesses of one log: what each of them has seen is remembered. It may be used
// by several goroutines.
type Witnesses struct {
	members []*member
	require int
	timeout time.Duration
	client  *http.Client
}

type member struct {
	url      string
	key      string
	verifier *torchwood.CosignatureVerifier

	mu   sync.Mutex
	seen int64 // the size of the last tree that it said or cosigned; a guess, which 409 corrects
}

// sharedTransport keeps connections for the next checkpoint, which comes a minute later.
var sharedTransport = func() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxResponseHeaderBytes = maxAnswer
	t.MaxIdleConnsPerHost = 2
	t.IdleConnTimeout = 5 * time.Minute
	return t
}()

// New checks whom to ask. It makes no request.
func New(c Config) (*Witnesses, error) {
	if len(c.Members) > tlogproof.MaxWitnesses {
		return nil, fmt.Errorf("%d witnesses, the limit is %d", len(c.Members), tlogproof.MaxWitnesses)
	}
	if c.Require < 0 || c.Require > len(c.Members) || c.Require == 0 && len(c.Members) > 0 {
		return nil, fmt.Errorf("%d cosignatures are required of %d witnesses", c.Require, len(c.Members))
	}
	w := &Witnesses{require: c.Require, timeout: c.Timeout, client: &http.Client{
		Transport: c.Transport,
		// Witnesses do not redirect; what another host says is no answer of theirs.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if w.timeout == 0 {
		w.timeout = 20 * time.Second
	}
	if c.Transport == nil {
		w.client.Transport = sharedTransport
	}
	for _, m := range c.Members {
		v, err := torchwood.NewCosignatureVerifier(m.Key)
		if err != nil {
			return nil, fmt.Errorf("witness %s: key %.200q: %w", m.URL, m.Key, err)
		}
		for _, other := range w.members {
			// The name is not part of what is signed: under two names one key would count twice.
			if bytes.Equal(tlogproof.PublicKey(other.key), tlogproof.PublicKey(m.Key)) {
				return nil, fmt.Errorf("witnesses %s and %s have the same key, which would count twice", other.url, m.URL)
			}
		}
		w.members = append(w.members, &member{url: strings.TrimSuffix(m.URL, "/"), key: m.Key, verifier: v})
	}
	return w, nil
}

// Len is how many witnesses there are.
func (w *Witnesses) Len() int { return len(w.members) }

// Required is how many cosignatures Met asks for.
func (w *Witnesses) Required() int { return w.require }

// Policy is what Met asks for, to be joined with what else a checkpoint must have.
func (w *Witnesses) Policy() torchwood.Policy {
	var members []torchwood.Policy
	for _, m := range w.members {
		members = append(members, torchwood.SingleVerifierPolicy(m.verifier))
	}
	return torchwood.ThresholdPolicy(w.require, members...)
}

// Cosigned are the witnesses whose cosignatures a signed checkpoint has, in their order. A
// cosignature that is wrong is passed over.
func (w *Witnesses) Cosigned(checkpoint []byte) []Cosignature {
	var all []Cosignature
	for _, m := range w.members {
		if c, _, err := m.open(checkpoint); err == nil {
			all = append(all, c)
		}
	}
	return all
}

// Met reports whether enough witnesses cosigned a checkpoint.
func (w *Witnesses) Met(checkpoint []byte) bool { return len(w.Cosigned(checkpoint)) >= w.require }

// Cosignature says that a witness saw a tree.
type Cosignature struct {
	Name string    `json:"name"`
	Key  string    `json:"key"`
	At   time.Time `json:"at"` // by the witness's clock
}

// open finds the member's cosignature in a signed checkpoint, and returns its line as well. The
// line is written anew: one whose base64 strict readers refuse would spoil the checkpoint.
func (m *member) open(checkpoint []byte) (Cosignature, []byte, error) {
	n, err := note.Open(checkpoint, note.VerifierList(m.verifier))
	if err != nil {
		return Cosignature{}, nil, err
	}
	signature := n.Sigs[0]
	at, ok := tlogproof.CosignedAt(signature)
	if !ok {
		return Cosignature{}, nil, errors.New("the time of the cosignature is no date")
	}
	raw, err := base64.StdEncoding.DecodeString(signature.Base64)
	if err != nil {
		return Cosignature{}, nil, err
	}
	line := fmt.Appendf(nil, "\u2014 %s %s\n", signature.Name, base64.StdEncoding.EncodeToString(raw))
	return Cosignature{m.verifier.Name(), m.key, at}, line, nil
}

// Assemble returns a checkpoint with the cosignatures of answers to it. Older ones by the same
// witnesses give way.
func (w *Witnesses) Assemble(checkpoint []byte, answers []Answer) []byte {
	split := bytes.LastIndex(checkpoint, []byte("\n\n"))
	if split < 0 {
		return checkpoint
	}
	all := bytes.Clone(checkpoint[:split+2])
	for line := range bytes.Lines(checkpoint[split+2:]) {
		if !w.isOutdated(line, answers) {
			all = append(all, line...)
		}
	}
	for _, a := range answers {
		all = append(all, a.Line...)
	}
	return all
}

// isOutdated reports whether there is an answer with a newer cosignature under a line's key.
func (w *Witnesses) isOutdated(line []byte, answers []Answer) bool {
	name, id, ok := parseLine(line)
	for _, a := range answers {
		if newer, newerID, isLine := parseLine(a.Line); ok && isLine && newer == name && newerID == id {
			return true
		}
	}
	return false
}

// parseLine returns the name and the key ID of a signature line.
func parseLine(line []byte) (name string, id uint32, ok bool) {
	fields := strings.Fields(string(line))
	if len(fields) != 3 {
		return "", 0, false
	}
	raw, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil || len(raw) < 4 {
		return "", 0, false
	}
	return fields[1], binary.BigEndian.Uint32(raw), true
}
