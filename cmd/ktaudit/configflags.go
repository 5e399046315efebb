package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/internal/config"
)

// configFlags say where the settings come from that flags leave open.
type configFlags struct {
	Config string `group:"log" placeholder:"FILE" help:"Configuration file, for what the flags leave open. See ktaudit config check."`
	Preset string `group:"log" placeholder:"NAME" help:"Built-in settings of a public log, for what the flags leave open: ${presets}."`
}

// load returns the configuration file, or one with the preset's namespace; an empty one if the flags name neither.
func (f configFlags) load() (*config.Config, error) {
	switch {
	case f.Config != "" && f.Preset != "":
		return nil, errors.New("--preset goes into the configuration file if there is one: leave out --preset or --config")
	case f.Config != "":
		return config.Load(f.Config)
	case f.Preset != "":
		n, err := config.Preset(f.Preset)
		if err != nil {
			return nil, fmt.Errorf("--preset: %w", err)
		}
		return &config.Config{Namespaces: []config.Namespace{n}}, nil
	}
	return &config.Config{}, nil
}

// choose returns the namespaces that a command is about: the one that --namespace names, or else all of the
// configuration. Without a configuration it is one of which only the name is known.
func (f configFlags) choose(c *config.Config, name string) ([]config.Namespace, error) {
	switch {
	case f.Config == "" && f.Preset == "":
		return []config.Namespace{{Namespace: name}}, nil
	case name == "":
		return c.Namespaces, nil
	case f.Preset != "" && name != c.Namespaces[0].Namespace:
		return nil, fmt.Errorf("--namespace %s is another log than --preset %s, which is %s", name, f.Preset, c.Namespaces[0].Namespace)
	}
	n, ok := c.Find(name)
	if !ok {
		return nil, fmt.Errorf("--namespace %s: not in %s, which has %s", name, f.Config, strings.Join(namesOf(c.Namespaces), ", "))
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

// chooseOne is choose for a command that is about one log.
func (f configFlags) chooseOne(c *config.Config, name string) (config.Namespace, error) {
	chosen, err := f.choose(c, name)
	if err != nil {
		return config.Namespace{}, err
	}
	if len(chosen) > 1 {
		return config.Namespace{}, fmt.Errorf("%s has several logs: choose one of them with --namespace: %s", f.Config, strings.Join(namesOf(c.Namespaces), ", "))
	}
	return chosen[0], nil
}

// forOneLog refuses flags that can only be meant for one log where there are several.
func (f configFlags) forOneLog(c *config.Config, chosen []config.Namespace, given []string) error {
	if len(chosen) < 2 || len(given) == 0 {
		return nil
	}
	return fmt.Errorf("%s: for one log, but %s has several: choose one of them with --namespace: %s",
		strings.Join(given, ", "), f.Config, strings.Join(namesOf(c.Namespaces), ", "))
}

// fill takes from the configuration what the flags leave open.
func (f *queueFlags) fill(c *config.Config) {
	f.Redis = cmp.Or(f.Redis, c.Redis)
	if f.RedisPasswordFile == "" && os.Getenv(redisPasswordVariable) == "" {
		f.RedisPasswordFile, f.passwordVariable = c.RedisPasswordFile, c.RedisPasswordEnv
	}
}

func (f *storeFlag) fill(c *config.Config) { f.AuditStore = cmp.Or(f.AuditStore, c.AuditStore) }

func (f *rangeFlags) fill(n config.Namespace) {
	f.From, f.To = cmp.Or(f.From, n.First), cmp.Or(f.To, n.Last)
}

// fillCommon is fill for what is not of one log.
func (f *auditFlags) fillCommon(c *config.Config) {
	f.storeFlag.fill(c)
	f.Concurrency = cmp.Or(f.Concurrency, c.Concurrency)
	f.Memory = cmp.Or(f.Memory, byteSize(c.Budget))
	f.ShutdownTimeout = cmp.Or(f.ShutdownTimeout, c.ShutdownTimeout)
}

func (f *auditFlags) fill(c *config.Config, n config.Namespace) {
	f.fillCommon(c)
	f.Namespace = n.Namespace
	f.LogDirectory = cmp.Or(f.LogDirectory, n.LogDirectory)
	f.Configuration = cmp.Or(f.Configuration, n.Configuration)
	if f.Archive == nil { // --archive=false is given, too
		f.Archive = &n.Archive
	}
	f.MaxBytes = cmp.Or(f.MaxBytes, byteSize(n.Limits.MaxBytes))
	f.MaxStoredBytes = cmp.Or(f.MaxStoredBytes, byteSize(n.Limits.MaxStoredBytes))
	f.MaxElements = cmp.Or(f.MaxElements, n.Limits.MaxElements)
	if len(f.VerifyingKey) == 0 {
		f.VerifyingKey = n.VerifyingKeys
	}
	f.Signatures = cmp.Or(f.Signatures, n.Signatures)
	if f.Settle == nil && len(c.Namespaces) > 0 { // else n is not of a configuration, and what is usual holds
		f.Settle = &n.Settle
	}
}

// ofOneLog returns the flags given that can only be meant for one log.
func (f auditFlags) ofOneLog() []string {
	return flagsGiven(map[string]bool{
		"--log-directory": f.LogDirectory != "", "--configuration": f.Configuration != "",
		"--verifying-key": len(f.VerifyingKey) > 0, "--signatures": f.Signatures != "",
	})
}

// flagsGiven returns the flags that are.
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

// missing says which settings neither the flags nor the configuration give: pairs of a flag and its value.
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
	return fmt.Errorf("missing flags: %s (try ktaudit %s --help)", strings.Join(flags, ", "), command)
}

// complete checks that an audit has all it needs.
func (f auditFlags) complete(command string) error {
	return missing(command, "--namespace=NAME", f.Namespace, "--log-directory=URL", f.LogDirectory, "--audit-store=URL", f.AuditStore)
}
