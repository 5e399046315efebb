package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/config"
)

// Settings are resolved once, flags over the configuration file over the defaults, before anything
// is opened: load returns complete settings, and the fill methods complete the flags from them.

// configFlags name the source of the settings that no flag gives.
type configFlags struct {
	Config string `group:"log" placeholder:"FILE" help:"Configuration file. Flags override it. See ktaudit config check."`
	Preset string `group:"log" placeholder:"NAME" help:"Built-in settings of a public log: ${presets}. Flags override them."`
}

// load returns the settings of the configuration file, or those of the preset or the defaults with
// one namespace. They are complete, but for what only flags can give.
func (f configFlags) load() (*config.Config, error) {
	switch {
	case f.Config != "" && f.Preset != "":
		return nil, errors.New("--preset and --config cannot be used together: set the preset in the configuration file, or leave out --config")
	case f.Config != "":
		return config.Load(f.Config)
	case f.Preset != "":
		n, err := config.Preset(f.Preset)
		if err != nil {
			return nil, fmt.Errorf("--preset: %w", err)
		}
		return config.WithoutFile(n), nil
	}
	return config.WithoutFile(config.Unconfigured("")), nil
}

// choose returns the namespaces of a command: the one given by --namespace, or else all of the
// configuration. Without a configuration it is one of which only the name is known.
func (f configFlags) choose(c *config.Config, name string) ([]config.Namespace, error) {
	switch {
	case f.Config == "" && f.Preset == "":
		return []config.Namespace{config.Unconfigured(name)}, nil
	case name == "":
		return c.Namespaces, nil
	case f.Preset != "" && name != c.Namespaces[0].Namespace:
		return nil, fmt.Errorf("--namespace %s does not match --preset %s, whose namespace is %s", name, f.Preset, c.Namespaces[0].Namespace)
	}
	n, ok := c.Find(name)
	if !ok {
		return nil, fmt.Errorf("--namespace %s is not in %s: choose one of %s", name, f.Config, strings.Join(namesOf(c.Namespaces), ", "))
	}
	return []config.Namespace{n}, nil
}

// loadAll is load and choose.
func (f configFlags) loadAll(name string) (*config.Config, []config.Namespace, error) {
	c, err := f.load()
	if err != nil {
		return nil, nil, err
	}
	namespaces, err := f.choose(c, name)
	return c, namespaces, err
}

// loadOne is load and chooseOne.
func (f configFlags) loadOne(name string) (*config.Config, config.Namespace, error) {
	c, err := f.load()
	if err != nil {
		return nil, config.Namespace{}, err
	}
	n, err := f.chooseOne(c, name)
	return c, n, err
}

// chooseOne is choose for commands that take one log only.
func (f configFlags) chooseOne(c *config.Config, name string) (config.Namespace, error) {
	chosen, err := f.choose(c, name)
	if err != nil {
		return config.Namespace{}, err
	}
	if len(chosen) > 1 {
		return config.Namespace{}, fmt.Errorf("%s has several logs: choose one with --namespace: %s", f.Config, strings.Join(namesOf(c.Namespaces), ", "))
	}
	return chosen[0], nil
}

// forOneLog refuses flags that apply to one log if there are several.
func (f configFlags) forOneLog(c *config.Config, chosen []config.Namespace, given []string) error {
	if len(chosen) < 2 || len(given) == 0 {
		return nil
	}
	return fmt.Errorf("%s can be given for one log only, but %s has several: choose one with --namespace: %s",
		strings.Join(given, ", "), f.Config, strings.Join(namesOf(c.Namespaces), ", "))
}

// fill completes the flags from the configuration.
func (f *queueFlags) fill(c *config.Config) {
	f.settings = c
	if f.Redis == "" {
		f.Redis, f.at = c.Redis, c.Place("redis")
	}
}

func (f *storeFlag) fill(c *config.Config) {
	if f.AuditStore == "" {
		f.AuditStore, f.at = c.AuditStore, c.Place("audit_store")
	}
}

func (f *rangeFlags) fill(n config.Namespace) {
	f.From, f.To = cmp.Or(f.From, n.First), cmp.Or(f.To, n.Last)
}

// placeOr returns what gives a setting: the flag if it has a value, or else its place in the file.
func placeOr(value, flag string, c *config.Config, setting string) string {
	if value != "" {
		return flag
	}
	return cmp.Or(c.Place(setting), flag)
}

// fillCommon is fill for the settings that all logs share.
func (f *auditFlags) fillCommon(c *config.Config) {
	f.storeFlag.fill(c)
	f.Concurrency = cmp.Or(f.Concurrency, c.Concurrency, config.DefaultConcurrency())
	f.Memory = cmp.Or(f.Memory, byteSize(c.Budget))
	f.ShutdownTimeout = cmp.Or(f.ShutdownTimeout, c.ShutdownTimeout)
	f.CanaryEvery = c.CanaryEvery
}

func (f *auditFlags) fill(c *config.Config, n config.Namespace) {
	f.fillCommon(c)
	f.Namespace = n.Namespace
	if f.LogDirectory == "" {
		f.LogDirectory, f.logAt = n.LogDirectory, c.PlaceOf(n.Namespace, "log_directory")
		if n.Preset != "" {
			f.logAt = cmp.Or(f.logAt, "--preset")
		}
	}
	f.Configuration = cmp.Or(f.Configuration, n.Configuration)
	if f.Archive == nil { // --archive=false is given, too
		f.Archive = &n.Archive
	}
	if f.Anchor == "" {
		f.Anchor, f.anchorAt = n.Anchor, c.PlaceOf(n.Namespace, "anchor")
	}
	f.limitFlags.fill(n.Limits)
	f.Evidence = n.Evidence
	if len(f.VerifyingKey) == 0 {
		f.VerifyingKey = n.Keys()
	}
	if f.Signatures == "" {
		f.Signatures, f.signaturesAt = n.Signatures, c.PlaceOf(n.Namespace, "signatures")
	}
	if f.Settle == nil { // --settle=0s is given, too
		f.Settle = &n.Settle
	}
}

func (f *limitFlags) fill(l config.Limits) {
	f.MaxBytes = cmp.Or(f.MaxBytes, byteSize(l.MaxBytes))
	f.MaxStoredBytes = cmp.Or(f.MaxStoredBytes, byteSize(l.MaxStoredBytes))
	f.MaxElements = cmp.Or(f.MaxElements, l.MaxElements)
	f.MinRate = cmp.Or(f.MinRate, byteSize(l.MinRate))
}

// ofOneLog returns the given flags that apply to one log only.
func (f auditFlags) ofOneLog() []string {
	return flagsGiven(map[string]bool{
		"--log-directory": f.LogDirectory != "", "--anchor": f.Anchor != "", "--configuration": f.Configuration != "",
		"--verifying-key": len(f.VerifyingKey) > 0, "--signatures": f.Signatures != "",
	})
}

// flagsGiven returns the names of the flags that are set, sorted.
func flagsGiven(flags map[string]bool) []string {
	var given []string
	for flag, is := range flags {
		if is {
			given = append(given, flag)
		}
	}
	slices.Sort(given)
	return given
}

// missing returns an error that names the settings without a value. Settings are pairs of flag and
// value.
func missing(command string, settings ...string) error {
	var flags []string
	for i := 0; i < len(settings); i += 2 {
		if settings[i+1] == "" {
			flags = append(flags, settings[i])
		}
	}
	if len(flags) == 0 {
		return nil
	}
	slices.Sort(flags)
	instead := ""
	if slices.Contains(flags, "--namespace=NAME") && slices.Contains(settings, "--audit-store=URL") {
		instead = ": name the log with --preset, or a file with --config, or give these"
	}
	return fmt.Errorf("missing flags: %s%s (try ktaudit %s --help)", strings.Join(flags, ", "), instead, command)
}

// refuseNegative returns an error that names the flag if its value is below 0, which no number and
// no duration of a setting may be. A negative value in the configuration file is refused by its
// check.
func refuseNegative[T int | time.Duration](flag string, value T) error {
	if value < 0 {
		return fmt.Errorf("--%s=%v is negative: give 0 or more, or leave it out for the default", flag, value)
	}
	return nil
}

// complete checks that no setting of an audit is missing or negative.
func (f auditFlags) complete(command string) error {
	err := errors.Join(refuseNegative("concurrency", f.Concurrency), refuseNegative("shutdown-timeout", f.ShutdownTimeout))
	if f.Settle != nil {
		err = errors.Join(err, refuseNegative("settle", *f.Settle))
	}
	if err != nil {
		return err
	}
	return missing(command, "--namespace=NAME", f.Namespace, "--log-directory=URL", f.LogDirectory, "--audit-store=URL", f.AuditStore)
}
