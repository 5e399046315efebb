package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/units"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

// Flags that several commands share, in groups that a command embeds. A flag's value is checked
// before the command does any work, so that a typing mistake gives one clear line.

// configurationFlag is how the log's tree is hashed.
type configurationFlag struct {
	Configuration string `group:"log" placeholder:"NAME" help:"Hash layout of the log's tree: ${configurations}. By default ${default_configuration}."`
}

func (f configurationFlag) configuration() (validator.Configuration, error) {
	c, err := validator.ParseConfiguration(cmp.Or(f.Configuration, config.DefaultNamespace().Configuration))
	if err != nil {
		return c, fmt.Errorf("--configuration: %w", err)
	}
	return c, nil
}

// namespaceFlag names the log.
type namespaceFlag struct {
	Namespace string `group:"log" placeholder:"NAME" help:"Name of the log, such as whatsapp.key-transparency.v1."`
}

// rangeFlags are the epochs from From to To, both included.
type rangeFlags struct {
	From uint64 `group:"log" placeholder:"EPOCH" help:"First epoch."`
	To   uint64 `group:"log" placeholder:"EPOCH" help:"Last epoch, included."`
}

// given reports whether the user gave a range or a part of one.
func (f rangeFlags) given() bool { return f.From != 0 || f.To != 0 }

// check refuses half a range and an empty one.
func (f rangeFlags) check() error {
	switch {
	case f.From == 0:
		return errors.New("--from is missing or 0: give the first epoch of the range; epochs start at 1")
	case f.To == 0:
		return errors.New("--to is missing or 0: give the last epoch of the range; epochs start at 1")
	}
	return f.checkBounds()
}

// checkBounds is check for a range whose ends may be left open.
func (f rangeFlags) checkBounds() error {
	switch {
	case f.From > verdict.MaxEpoch:
		return fmt.Errorf("--from %d is too large: the last possible epoch is %d", f.From, uint64(verdict.MaxEpoch))
	case f.To > verdict.MaxEpoch:
		return fmt.Errorf("--to %d is too large: the last possible epoch is %d", f.To, uint64(verdict.MaxEpoch))
	case f.To != 0 && f.To < f.From:
		return fmt.Errorf("--to %d is before --from %d", f.To, f.From)
	}
	return nil
}

// anchorFlag is a digest that is known from elsewhere.
type anchorFlag struct {
	Anchor string `group:"log" placeholder:"EPOCH/DIGEST" help:"The epoch before the first one and its digest, known from elsewhere. The first epoch must begin with that digest."`
}

// anchor returns the anchor; a zero one if none is given.
func (f anchorFlag) anchor() (verdict.Anchor, error) {
	if f.Anchor == "" {
		return verdict.Anchor{}, nil
	}
	anchor, err := verdict.ParseAnchor(f.Anchor)
	if err != nil {
		return anchor, fmt.Errorf("--anchor: %w", err)
	}
	return anchor, nil
}

// of returns the anchor of a log: the one of the flag, else that of the configuration.
func (f anchorFlag) of(n config.Namespace) (verdict.Anchor, error) {
	return anchorFlag{cmp.Or(f.Anchor, n.Anchor)}.anchor()
}

// beginOne is begin for a command that may be about several logs, of which no flag can give an
// anchor.
func (f anchorFlag) beginOne(c configFlags, settings *config.Config, chosen []config.Namespace, first *uint64) error {
	given := flagsGiven(map[string]bool{"--anchor": f.Anchor != ""})
	return errors.Join(c.forOneLog(settings, chosen, given), f.begin("--from", first))
}

// begin completes the first epoch, which flag gives, from an anchor that a flag gives, and refuses
// one of another epoch.
func (f anchorFlag) begin(flag string, first *uint64) error {
	anchor, err := f.anchor()
	if err != nil || anchor.IsZero() {
		return err
	}
	if *first != 0 && *first != anchor.Epoch+1 {
		return fmt.Errorf("--anchor is of epoch %d, but %s is %d: give the digest of epoch %d, or leave out %s",
			anchor.Epoch, flag, *first, *first-1, flag)
	}
	*first = anchor.Epoch + 1
	return nil
}

// storeFlag is where verdicts are.
type storeFlag struct {
	AuditStore string `group:"store" placeholder:"URL" help:"Bucket or directory that holds the verdicts."`

	at string // where the file gives it, if that does
}

// logDirectoryFlag is where batches are.
type logDirectoryFlag struct {
	LogDirectory string `group:"log" placeholder:"URL" help:"Bucket or directory where the log publishes its batches."`
}

// signatureFlags are the trusted keys, and where the signed digests are.
type signatureFlags struct {
	VerifyingKey []string `group:"signatures" placeholder:"HEX[@FROM-TO]" help:"Trusted verifying key, for all epochs or for those from FROM to TO, of which one may be left out; repeatable. If one is given, every epoch needs a signed digest."`
	Signatures   string   `group:"signatures" placeholder:"URL" help:"Bucket or directory of signed digests, {epoch}.json, or an auditor that serves them, plexi+https://HOST/NAMESPACE. By default the audit store."`
}

// byteSize is a number of bytes, written like 512MiB or 4GiB.
type byteSize int64

// UnmarshalText reads a size as in a configuration file, or a plain number of bytes.
func (s *byteSize) UnmarshalText(text []byte) error {
	size := strings.TrimPrefix(strings.TrimSpace(string(text)), "+")
	if strings.Trim(size, "0123456789") == "" {
		size += "B"
	}
	n, err := units.ParseBytes(size)
	if err != nil || n < 1 {
		return fmt.Errorf("%q is not a size such as 4096, 512MiB or 4GiB", text)
	}
	*s = byteSize(n)
	return nil
}
