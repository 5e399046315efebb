package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/internal/pins"
	"github.com/ktaudit/ktaudit/signature"
)

// The flags of commands that ask a remote auditor are those of plexi, which also reads its
// environment.

// remoteFlag is the auditor.
type remoteFlag struct {
	RemoteURL string `group:"auditor" name:"remote-url" short:"r" env:"KTAUDIT_REMOTE_URL,PLEXI_REMOTE_URL" placeholder:"URL" help:"Auditor, such as https://plexi.key-transparency.cloudflare.com."`
	AllowHTTP bool   `group:"auditor" name:"allow-http" help:"Ask an auditor over plain http that is not on this machine. Anybody on the way can change what it transfers."`
}

func (f remoteFlag) client() (*client.Client, error) {
	c, err := client.New(client.Config{URL: f.RemoteURL, AllowHTTP: f.AllowHTTP})
	if err == nil {
		return c, nil
	}
	if _, other := client.New(client.Config{URL: f.RemoteURL, AllowHTTP: true}); other == nil {
		return nil, fmt.Errorf("--remote-url: %w; or accept that with --allow-http", err)
	}
	return nil, fmt.Errorf("--remote-url: %w", err)
}

// remoteNamespaceFlag names a log as namespaceFlag does, in plexi's way.
type remoteNamespaceFlag struct {
	Namespace string `group:"log" short:"n" env:"KTAUDIT_NAMESPACE,PLEXI_NAMESPACE" placeholder:"NAME" help:"Name of the log, such as whatsapp.key-transparency.v2."`
}

// auditorKeyFlag is the auditor's keys.
type auditorKeyFlag struct {
	VerifyingKey []string `group:"auditor" env:"KTAUDIT_VERIFYING_KEY,PLEXI_VERIFYING_KEY" placeholder:"HEX[@FROM-TO]" help:"Verifying key of the auditor, for all epochs or for those from FROM to TO; repeatable."`
}

// pinFlags are what stands for keys that are not given.
type pinFlags struct {
	Pins         string `group:"auditor" placeholder:"FILE" help:"File that remembers the keys of auditors since they were first asked. By default pins.json in $$XDG_STATE_HOME/ktaudit or ~/.local/state/ktaudit."`
	AcceptNewKey bool   `group:"auditor" env:"-" help:"Trust the keys that the auditor has now beside those that are remembered."`
}

// formatFlags are how an audit is printed, and whether there is one.
type formatFlags struct {
	Long     bool `group:"output" short:"l" help:"Print all fields of the signed digest."`
	NoVerify bool `group:"auditor" env:"KTAUDIT_NO_VERIFY,PLEXI_VERIFICATION_DISABLED" help:"Print the signed digest without checking signature and proof."`
}

// How the keys came to be trusted. They are values of "trust" in JSON.
const (
	trustGiven    = "given"     // by the user
	trustPinned   = "pinned"    // since an earlier use
	trustFirstUse = "first_use" // from now on
)

// trustedKeys are keys of an auditor.
type trustedKeys struct {
	signature.Keys
	how string
	// remember pins the keys, once one of them has signed something. It does so once.
	remember func() error
	// changed says that the auditor has further keys, which are not among these; nil if not.
	changed *changedKeysError
}

// signer returns the trusted key that signed s.
func (t *trustedKeys) signer(s signature.SignedDigest) (string, error) {
	key, err := t.Signer(s)
	if err != nil && t.changed != nil && t.changed.signed(s) {
		return "", t.changed
	}
	if err != nil {
		return "", err
	}
	if err := t.remember(); err != nil {
		return "", &pinError{err}
	}
	return hex.EncodeToString(key), nil
}

func nothing() error { return nil }

// pinError is a file of pins that could not be written, which says nothing about a signature.
type pinError struct{ err error }

func (e *pinError) Error() string {
	return fmt.Sprintf("the auditor's key could not be remembered: %v; give --pins=FILE, or --verifying-key", e.err)
}
func (e *pinError) Unwrap() error { return e.err }

// changedKeysError is an auditor with keys that it did not have when it was first asked.
type changedKeysError struct {
	Auditor string
	New     []string
	Pinned  []pins.Pin
	path    string
}

func (e *changedKeysError) Error() string {
	var pinned []string
	for _, p := range e.Pinned {
		pinned = append(pinned, fmt.Sprintf("%s, since %s", p.PublicKey, p.Since.UTC().Format(time.RFC3339)))
	}
	return fmt.Sprintf("%s has a key that is not trusted: %s\nTrusted by %s:\n  %s\n"+
		"Nothing that is trusted vouches for the new key. Compare it with what the auditor publishes elsewhere; then trust it with --accept-new-key.",
		e.Auditor, strings.Join(e.New, ", "), e.path, strings.Join(pinned, "\n  "))
}

// Unwrap: to whoever does not know pins it is a key that is not trusted.
func (e *changedKeysError) Unwrap() error { return signature.ErrUnknownKey }

// signed reports whether one of the new keys signed s.
func (e *changedKeysError) signed(s signature.SignedDigest) bool {
	keys, err := signature.ParseKeys(e.New)
	return err == nil && keys.Verify(s) == nil
}

// keys are those of the flags, or those that are pinned, or those that the auditor has at its first
// use. It is a *changedKeysError if the auditor has none any more of those that are pinned.
func (f pinFlags) keys(ctx context.Context, a *app, c *client.Client, given []string) (*trustedKeys, error) {
	if len(given) > 0 {
		keys, err := signature.ParseKeys(given)
		if err != nil {
			return nil, fmt.Errorf("--verifying-key: %w", err)
		}
		return &trustedKeys{Keys: keys, how: trustGiven, remember: nothing}, nil
	}
	path := f.Pins
	if path == "" {
		var err error
		if path, err = pins.DefaultPath(); err != nil {
			return nil, fmt.Errorf("no place to remember the auditor's keys: give --pins=FILE, or --verifying-key: %w", err)
		}
	}
	pinned, err := pins.Read(path, c.URL())
	if err != nil {
		return nil, err
	}
	info, err := c.Info(ctx)
	if err != nil {
		return nil, err
	}
	return f.pinnedKeys(a, path, c.URL(), pinned, info.Keys)
}

// pinnedKeys holds the keys that an auditor has against those that are pinned. One that it has
// beside them, such as the next one, is not trusted, and refused once it signs.
func (f pinFlags) pinnedKeys(a *app, path, auditor string, pinned []pins.Pin, has []client.Key) (*trustedKeys, error) {
	var trusted, unknown []string
	for _, p := range pinned {
		trusted = append(trusted, p.PublicKey)
	}
	hasPinned := false
	for _, k := range has {
		switch key := strings.ToLower(k.PublicKey); {
		case slices.Contains(trusted, key):
			hasPinned = true
		case !slices.Contains(unknown, key):
			unknown = append(unknown, key)
		}
	}
	if len(trusted)+len(unknown) == 0 {
		return nil, fmt.Errorf("%s publishes no key: give --verifying-key", auditor)
	}
	t := &trustedKeys{how: trustPinned, remember: nothing}
	if len(pinned) > 0 && len(unknown) > 0 && !f.AcceptNewKey {
		t.changed = &changedKeysError{auditor, unknown, pinned, path}
		if !hasPinned {
			return nil, t.changed
		}
		a.log.Warn().Str("auditor", auditor).Strs("keys", unknown).
			Msg("the auditor has further keys, which are not trusted: compare them with what it publishes elsewhere, then trust them with --accept-new-key")
		unknown = nil
	}
	if len(unknown) > 0 {
		t.how = trustFirstUse
		t.remember = sync.OnceValue(func() error {
			if err := pins.Add(path, auditor, unknown, time.Now()); err != nil {
				return err
			}
			a.log.Warn().Str("auditor", auditor).Strs("keys", unknown).Str("pins", path).
				Msg("this key is trusted from now on only because the auditor has it now: compare it with what the auditor publishes elsewhere, or give --verifying-key")
			return nil
		})
	}
	var err error
	if t.Keys, err = signature.ParseKeys(append(trusted, unknown...)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// refuse prints that keys have changed, and ends the command.
func (a *app) refuse(err error) error {
	changed, ok := errors.AsType[*changedKeysError](err)
	if !ok {
		return err
	}
	if a.json {
		if err := a.object(struct {
			Auditor string   `json:"auditor"`
			Outcome string   `json:"outcome"`
			NewKeys []string `json:"new_keys"`
			Message string   `json:"message"`
		}{changed.Auditor, outcomeRefused, changed.New, changed.Error()}); err != nil {
			return err
		}
	} else {
		a.printf("refused: %v\n", changed)
	}
	return errFound
}
