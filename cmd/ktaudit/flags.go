package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/redisurl"
	"github.com/ktaudit/ktaudit/internal/secret"
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

// queueFlags are where the queue is.
type queueFlags struct {
	Redis             string `group:"queue" placeholder:"URL" help:"Redis that holds the queue, such as redis://localhost:6379/0, or embedded for one inside this process."`
	RedisPasswordFile string `group:"queue" type:"existingfile" placeholder:"FILE" help:"File that holds the password of Redis. KTAUDIT_REDIS_PASSWORD may hold it instead."`

	settings *config.Config // where else the password may be; nil if nowhere
	at       string         // where the file gives Redis, if that does
}

const redisPasswordVariable = "KTAUDIT_REDIS_PASSWORD"

// url returns the URL with the password in it.
func (f queueFlags) url() (string, error) {
	password, err := f.password()
	if err != nil {
		return "", err
	}
	u, err := redisurl.Parse(f.Redis)
	if err != nil {
		return f.Redis, nil // embedded, or an error for queue.Connect to report
	}
	if u.MayHoldPassword && onCommandLine(f.Redis) {
		return "", errors.New("--redis contains a password, which every user of this machine can read: " +
			"put the URL into KTAUDIT_REDIS, or the password into KTAUDIT_REDIS_PASSWORD or a file for --redis-password-file")
	}
	if password == "" {
		return f.Redis, nil
	}
	return u.WithPassword(password), nil
}

// password returns the password of Redis: that of the flag, else that of the environment, else that
// of the configuration file. It is empty if none is given.
func (f queueFlags) password() (string, error) {
	if f.RedisPasswordFile != "" {
		password, err := secret.ReadFile(f.RedisPasswordFile)
		if err != nil {
			return "", fmt.Errorf("--redis-password-file: %w", err)
		}
		return password, nil
	}
	if password := os.Getenv(redisPasswordVariable); password != "" || f.settings == nil {
		return password, nil
	}
	return f.settings.RedisPassword()
}

func onCommandLine(s string) bool {
	for _, arg := range os.Args[1:] {
		if strings.HasSuffix(arg, s) {
			return true
		}
	}
	return false
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
