package config

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/internal/secret"
	"github.com/ktaudit/ktaudit/internal/units"
	"github.com/ktaudit/ktaudit/transparency/tlogproof"
	"golang.org/x/mod/sumdb/note"
)

// VerdictLog is the log of this auditor's own verdicts. The zero value means that none is kept.
type VerdictLog struct {
	// Origin is the first part of the origins of the logs: see transparency.Origin.
	Origin string `yaml:"origin"`
	// Key signs checkpoints.
	Key Key `yaml:"key"`
	// PublicKey is the public key of Key, 64 hexadecimal digits, for commands that only check: they
	// need no Key.
	PublicKey string `yaml:"public_key"`
	// FormerKeys are the public keys, like PublicKey, that signed checkpoints before.
	FormerKeys []string `yaml:"former_keys"`
	// StatementKey signs a statement for each epoch, in the form that other witnesses of key
	// transparency use. The zero value means that there are none.
	StatementKey Key `yaml:"statement_key"`
	// Every is how often verdicts are appended.
	Every time.Duration `yaml:"every"`
	// NotPublishedAfter is how long the log waits for an epoch, once a later one has a verdict,
	// before it says that the epoch was never published; 0 means for ever.
	NotPublishedAfter time.Duration `yaml:"not_published_after" zero:"never"`
}

// IsOn reports whether a verdict log is kept.
func (l VerdictLog) IsOn() bool { return l.Origin != "" }

// Public returns PublicKey; nil if it is not given.
func (l VerdictLog) Public() (ed25519.PublicKey, error) {
	if l.PublicKey == "" {
		return nil, nil
	}
	return parsePublicKey(l.PublicKey)
}

// Former returns FormerKeys.
func (l VerdictLog) Former() ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	for _, text := range l.FormerKeys {
		key, err := parsePublicKey(text)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func parsePublicKey(text string) (ed25519.PublicKey, error) {
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%.80q is not a public key of 64 hexadecimal digits, as ktaudit keygen prints it", text)
	}
	return key, nil
}

// Key names the file or the environment variable that holds an Ed25519 key; at most one is given.
type Key struct {
	File string `yaml:"file"`
	Env  string `yaml:"env"`
}

// IsGiven reports whether there is a key.
func (k Key) IsGiven() bool { return k != Key{} }

// Text reads the key as it is in the file or the environment, for auditor.ParseKey.
func (k Key) Text() (string, error) {
	if k.File != "" {
		return secret.ReadKeyFile(k.File)
	}
	return secret.Read("key", "", k.Env)
}

// Witnesses are asked to cosign the checkpoints of the verdict log.
type Witnesses struct {
	// Require is how many of the members must have cosigned.
	Require int             `yaml:"require"`
	Members []WitnessMember `yaml:"members"`
}

// WitnessMember is one witness, of C2SP's tlog-witness.
type WitnessMember struct {
	// URL is its submission prefix, below which add-checkpoint is.
	URL string `yaml:"url"`
	// Key is its verifier key, for torchwood.NewCosignatureVerifier.
	Key string `yaml:"key"`
}

// Witness is how "ktaudit serve --witness" cosigns the checkpoints of other logs. The zero value
// means that it does not.
type Witness struct {
	// Name is the name of its key, such as witness.example.org.
	Name string         `yaml:"name"`
	Key  Key            `yaml:"key"`
	Logs []WitnessedLog `yaml:"logs"`
}

// IsOn reports whether other logs are witnessed.
func (w Witness) IsOn() bool { return w.Name != "" }

// WitnessedLog is a log that is witnessed. In the file its key may stand for it.
type WitnessedLog struct {
	// Key is the log's verifier key, for note.NewVerifier.
	Key string `yaml:"key,alone"`
	// Origin is the first line of its checkpoints. By default it is the name of the key.
	Origin string `yaml:"origin"`
}

// minAppendEvery and minNotPublished keep typing mistakes from busying the audit store, and from
// saying for ever that an epoch was never published.
const (
	minAppendEvery  = time.Second
	minNotPublished = time.Hour
)

func (v checker) verdictLog() {
	l := v.VerdictLog
	if v.source.Given("verdict_log") {
		v.must("verdict_log.origin", l.Origin != "", "is missing: give the log's name, such as auditor.example.org")
	}
	if !l.IsOn() {
		return
	}
	v.check("verdict_log.origin", checkNoteName(l.Origin))
	v.must("verdict_log.origin", !strings.HasSuffix(l.Origin, "/") && !strings.Contains(l.Origin, "://"),
		"%.80q is not a name such as auditor.example.org, without https:// and without a slash at its end", l.Origin)
	v.must("verdict_log.key", l.Key.IsGiven() || l.PublicKey != "",
		"is missing: give the file that holds the key, or its environment variable as env; commands that only check can do with public_key")
	_, err := l.Public()
	v.check("verdict_log.public_key", err)
	for i, text := range l.FormerKeys {
		at := fmt.Sprintf("verdict_log.former_keys[%d]", i)
		_, err := parsePublicKey(text)
		v.check(at, err)
		first := slices.Index(l.FormerKeys, text)
		v.must(at, first == i, "repeats former_keys[%d]: remove one", first)
		v.must(at, text != l.PublicKey, "is public_key, which is not a former one: remove it here")
	}
	v.must("verdict_log.every", l.Every >= minAppendEvery, "%s is too short: want %s or more", units.DurationText(l.Every), units.DurationText(minAppendEvery))
	v.must("verdict_log.not_published_after", l.NotPublishedAfter == 0 || l.NotPublishedAfter >= minNotPublished,
		"%s is too short: want %s or more, or never", units.DurationText(l.NotPublishedAfter), units.DurationText(minNotPublished))
}

func (v checker) witnesses() {
	w := v.Witnesses
	if !v.source.Given("witnesses") && len(w.Members) == 0 {
		return
	}
	v.must("witnesses", v.VerdictLog.IsOn() || v.source.Given("verdict_log"), "has no effect without a log that is witnessed: give verdict_log as well")
	v.must("witnesses.members", len(w.Members) > 0, "is missing: list the witnesses, each with its url and key")
	v.must("witnesses.require", w.Require > 0 || len(w.Members) == 0, "is missing: say how many of the %d must have cosigned", len(w.Members))
	v.must("witnesses.require", w.Require <= len(w.Members), "%d is more than there are members, which are %d", w.Require, len(w.Members))
	urls, keys := map[string]int{}, map[string]int{}
	own, _ := v.VerdictLog.Public()
	for i, m := range w.Members {
		at := fmt.Sprintf("witnesses.members[%d]", i)
		v.must(at+".url", m.URL != "", "is missing: give the address below which its add-checkpoint is")
		v.check(at+".url", checkPrefix(m.URL))
		first, twice := urls[strings.TrimSuffix(m.URL, "/")]
		v.must(at+".url", !twice, "is that of members[%d] as well: remove one", first)
		urls[strings.TrimSuffix(m.URL, "/")] = i
		v.must(at+".key", m.Key != "", "is missing: give the witness's verifier key; get it by a way that you trust")
		if v.problems.IsBlamed(at + ".key") {
			continue
		}
		if _, err := torchwood.NewCosignatureVerifier(m.Key); err != nil {
			v.must(at+".key", false, "%.120q is not the verifier key of a witness, NAME+HASH+BASE64 (%v)", m.Key, err)
			continue
		}
		key := tlogproof.PublicKey(m.Key)
		first, twice = keys[string(key)]
		v.must(at+".key", !twice, "is that of members[%d] as well, and would count twice: remove one", first)
		v.must(at+".key", own == nil || !bytes.Equal(own, key), "is the key of the verdict log itself, which cannot be its own witness")
		keys[string(key)] = i
	}
}

func (v checker) witness() {
	w := v.Witness
	if !v.source.Given("witness") && !w.IsOn() {
		return
	}
	v.must("witness.name", w.Name != "", "is missing: give the name of the witness, such as witness.example.org")
	if w.Name != "" {
		v.check("witness.name", checkNoteName(w.Name))
	}
	v.must("witness.key", w.Key.IsGiven(), "is missing: give the file that holds the key, or its environment variable as env")
	v.must("witness.logs", len(w.Logs) > 0, "is missing: list the verifier keys of the logs to witness")
	known := map[string]int{}
	for i, l := range w.Logs {
		at := fmt.Sprintf("witness.logs[%d]", i)
		v.must(at+".key", l.Key != "", "is missing: give the log's verifier key; get it by a way that you trust")
		if v.problems.IsBlamed(at + ".key") {
			continue
		}
		verifier, err := note.NewVerifier(l.Key)
		if err != nil {
			v.must(at+".key", false, "%.120q is not the verifier key of a log, NAME+HASH+BASE64 (%v)", l.Key, err)
			continue
		}
		origin := verifier.Name()
		if l.Origin != "" {
			origin = l.Origin
			v.check(at+".origin", checkLine(origin))
		}
		first, twice := known[origin+"\n"+l.Key]
		v.must(at+".key", !twice, "is that of logs[%d] as well: remove one", first)
		known[origin+"\n"+l.Key] = i
	}
}

// keysApart checks the places of all keys that sign, of which each has one task: what one of them
// signed must not pass for what another one says.
func (v checker) keysApart() {
	seen := map[Key]string{}
	for i, k := range v.Serve.Keys {
		seen[Key{k.File, k.Env}] = fmt.Sprintf("serve.keys[%d]", i)
	}
	for _, k := range []struct {
		path string
		key  Key
	}{{"verdict_log.key", v.VerdictLog.Key}, {"verdict_log.statement_key", v.VerdictLog.StatementKey}, {"witness.key", v.Witness.Key}} {
		if !k.key.IsGiven() {
			continue
		}
		v.must(k.path+".env", k.key.File == "" || k.key.Env == "", "file is given as well: choose one")
		v.check(k.path+".env", checkVariable(k.key.Env))
		other, twice := seen[k.key]
		v.must(k.path, !twice, "is the same as %s: make a key of its own with ktaudit keygen", other)
		seen[k.key] = k.path
	}
}

// checkNoteName takes what can be the name of a key of signed notes.
func checkNoteName(name string) error {
	if strings.ContainsFunc(name, func(r rune) bool { return r == '+' || unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return fmt.Errorf("%.80q has a space or a plus in it: use a name such as auditor.example.org", name)
	}
	if len(name) > maxNoteName {
		return fmt.Errorf("is longer than %d bytes", maxNoteName)
	}
	return nil
}

const maxNoteName = 200

func checkLine(text string) error {
	if len(text) > maxNoteName {
		return fmt.Errorf("is longer than %d bytes", maxNoteName)
	}
	return nil // line breaks were refused by the parser
}

// checkPrefix takes the address of a web server and a path on it.
func checkPrefix(text string) error {
	if text == "" {
		return nil
	}
	if err := checkHTTP(text); err != nil {
		return err
	}
	if u, err := url.Parse(text); err != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("is not an address such as https://witness.example.net, without ? and #")
	}
	return nil
}
