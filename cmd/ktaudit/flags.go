package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

// Flags that several commands share, in groups that a command embeds. What a flag says is checked before the command
// does any work, so that a typing mistake is one clear line.

const defaultConfiguration = "whatsapp_v1"

// configurationFlag is how the log's tree is hashed.
type configurationFlag struct {
	Configuration string `group:"log" placeholder:"NAME" help:"Hash layout of the log's tree: whatsapp_v1 or experimental:DOMAIN-LABEL. By default whatsapp_v1."`
}

func (f configurationFlag) configuration() (validator.Configuration, error) {
	c, err := validator.ParseConfiguration(cmp.Or(f.Configuration, defaultConfiguration))
	if err != nil {
		return c, fmt.Errorf("--configuration: %w", err)
	}
	return c, nil
}

// namespaceFlag names the log.
type namespaceFlag struct {
	Namespace string `group:"log" placeholder:"NAME" help:"The log's name, such as whatsapp.key-transparency.v1."`
}

// rangeFlags are the epochs from From to To, both included.
type rangeFlags struct {
	From uint64 `group:"log" placeholder:"EPOCH" help:"First epoch."`
	To   uint64 `group:"log" placeholder:"EPOCH" help:"Last epoch, included."`
}

// given tells whether the user gave a range or a part of one.
func (f rangeFlags) given() bool { return f.From != 0 || f.To != 0 }

// check refuses half a range and an empty one.
func (f rangeFlags) check() error {
	switch {
	case f.From == 0:
		return errors.New("--from is missing, or 0: the first epoch of the range, from 1 on")
	case f.To == 0:
		return errors.New("--to is missing, or 0: the last epoch of the range, from 1 on")
	}
	return f.checkBounds()
}

// checkBounds is check for a range whose ends may be left open.
func (f rangeFlags) checkBounds() error {
	switch {
	case f.From > verdict.MaxEpoch:
		return fmt.Errorf("--from %d: epochs end at %d", f.From, uint64(verdict.MaxEpoch))
	case f.To > verdict.MaxEpoch:
		return fmt.Errorf("--to %d: epochs end at %d", f.To, uint64(verdict.MaxEpoch))
	case f.To != 0 && f.To < f.From:
		return fmt.Errorf("--to %d is before --from %d", f.To, f.From)
	}
	return nil
}

// storeFlag is where verdicts are.
type storeFlag struct {
	AuditStore string `group:"store" placeholder:"URL" help:"Bucket or directory that holds the verdicts."`
}

// logDirectoryFlag is where batches are.
type logDirectoryFlag struct {
	LogDirectory string `group:"log" placeholder:"URL" help:"Bucket or directory where the log publishes its batches."`
}

// signatureFlags are whose signed digests are trusted, and where they are.
type signatureFlags struct {
	VerifyingKey []string `group:"signatures" placeholder:"HEX" help:"Trusted verifying key; repeatable. With one, every epoch needs a signed digest."`
	Signatures   string   `group:"signatures" placeholder:"URL" help:"Bucket or directory of signed digests, {epoch}.json. By default those in the audit store."`
}

// queueFlags are where the queue is.
type queueFlags struct {
	Redis             string `group:"queue" placeholder:"URL" help:"Redis that holds the queue, such as redis://localhost:6379/0; embedded is one inside this process."`
	RedisPasswordFile string `group:"queue" type:"existingfile" placeholder:"FILE" help:"File with the password of Redis, which may also stand in KTAUDIT_REDIS_PASSWORD."`

	passwordVariable string // that holds the password too, by the configuration file
}

const redisPasswordVariable = "KTAUDIT_REDIS_PASSWORD"

// url returns the URL with the password in it. It takes the URL apart by hand, since the forms for several hosts are no
// URLs in the eyes of net/url, whose errors would repeat the password.
func (f queueFlags) url() (string, error) {
	password := os.Getenv(cmp.Or(f.passwordVariable, redisPasswordVariable))
	if f.passwordVariable != "" && password == "" {
		return "", fmt.Errorf("redis_password_env: the environment variable %s is empty", f.passwordVariable)
	}
	if f.RedisPasswordFile != "" {
		secret, err := readSecret(f.RedisPasswordFile)
		if err != nil {
			return "", fmt.Errorf("--redis-password-file: %w", err)
		}
		password = secret
	}
	scheme, rest, ok := strings.Cut(f.Redis, "://")
	if !ok {
		return f.Redis, nil // embedded, or nothing that ConnectRedis knows
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	user, hosts := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, hosts = authority[:i], authority[i+1:]
	}
	user, _, hasPassword := strings.Cut(user, ":")
	if hasPassword && onCommandLine(f.Redis) {
		return "", errors.New("--redis has a password in it, which everybody on this machine can read: " +
			"put the URL into KTAUDIT_REDIS, or the password into KTAUDIT_REDIS_PASSWORD or a file for --redis-password-file")
	}
	if password == "" {
		return f.Redis, nil
	}
	return scheme + "://" + user + url.UserPassword("", password).String() + "@" + hosts + path, nil
}

func onCommandLine(s string) bool {
	for _, arg := range os.Args[1:] {
		if strings.HasSuffix(arg, s) {
			return true
		}
	}
	return false
}

// readSecret reads a file that holds one secret and perhaps a line end.
func readSecret(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(data))
	if secret == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return secret, nil
}

// byteSize is a number of bytes, written like 512MiB or 4GiB.
type byteSize int64

// UnmarshalText reads a whole number with an optional suffix KiB, MiB, GiB or TiB.
func (s *byteSize) UnmarshalText(text []byte) error {
	digits, shift := string(text), 0
	for i, suffix := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if before, ok := strings.CutSuffix(digits, suffix); ok {
			digits, shift = before, 10*(i+1)
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64>>shift {
		return fmt.Errorf("%q is not a size such as 4096, 512MiB or 4GiB", text)
	}
	*s = byteSize(n << shift)
	return nil
}
