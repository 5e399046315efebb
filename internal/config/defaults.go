package config

import (
	"cmp"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/units"
	"github.com/ktaudit/ktaudit/verdict"
)

// Default returns the settings of a file that sets nothing, without a namespace.
func Default() Config {
	return Config{
		Redis:           "embedded",
		ShutdownTimeout: 30 * time.Second,
		CanaryEvery:     500,

		StoreUnwritableAfter: 5 * time.Minute,
		Runbook:              "https://github.com/ktaudit/ktaudit/blob/main/docs/runbook.md",
	}
}

// What workers and runs do that no setting changes.
const (
	// NotYetDelay is how long an epoch that is not published or not signed yet rests.
	NotYetDelay = 30 * time.Second
	// MaxRetryDelay bounds the growing pause after faults.
	MaxRetryDelay = 10 * time.Minute
	// PollInterval is how long a worker leaves an empty queue alone, RunPollInterval how long a run
	// does.
	PollInterval, RunPollInterval = time.Second, 200 * time.Millisecond
	// FaultWait is how long a run goes on trying an epoch that faults keep from a verdict.
	FaultWait = 10 * time.Minute
)

// DefaultExecTimeout is how long a program may take for an alert.
const DefaultExecTimeout = 10 * time.Second

// DefaultConcurrency returns how many epochs a worker audits at the same time if Concurrency is 0.
func DefaultConcurrency() int { return 4 * runtime.GOMAXPROCS(0) }

// WithoutFile returns the settings of a command that is given no configuration file, with one
// namespace. Redis is empty: a command without a file must be told where its queue is.
func WithoutFile(n Namespace) *Config {
	c := Default()
	c.Redis, c.Namespaces = "", []Namespace{n}
	return &c
}

// Unconfigured returns the settings of a log of which at most the name is known. First is 0, since
// the range to audit is not known, and without targets there are no alerts about delays.
func Unconfigured(namespace string) Namespace {
	n := DefaultNamespace()
	n.Namespace = namespace
	n.First, n.SilentAfter, n.TransientAfter, n.BacklogAge = 0, 0, 0, 0
	return n
}

// DefaultNamespace returns the settings of a namespace that sets nothing. Logs known today publish
// every half minute to two minutes.
func DefaultNamespace() Namespace {
	return Namespace{
		Configuration:  "whatsapp_v1",
		First:          1,
		Poll:           30 * time.Second,
		Settle:         DefaultSettle,
		SilentAfter:    30 * time.Minute,
		TransientAfter: time.Hour,
		BacklogAge:     time.Hour,
		MaxLag:         "15m",
		ChainEvery:     24 * time.Hour,
		Evidence:       Evidence{MaxBatches: 4, MaxBytes: 64 * units.MiB},
		RecheckAfter:   []time.Duration{time.Hour, 24 * time.Hour, 7 * 24 * time.Hour},
		RecheckHistory: 30 * 24 * time.Hour,
		ReverifyOneIn:  1000,
		ReverifyBytes:  20 * units.GiB,
		Limits:         Limits{MaxBytes: 2 * units.GiB, MaxStoredBytes: 2 * units.GiB, MaxElements: 32 << 20, MinRate: 16 * units.KiB},
	}
}

// DefaultSettle is how old a batch must be before it is held against its log. It is longer than any
// copy to a local disk stands still.
const DefaultSettle = time.Minute

// DefaultWindow is how many epochs of a backfill are on the queue at most. They take about 3 MB of
// Redis, and about as much of a process that has the queue in itself.
const DefaultWindow = 10_000

// SetDefaults sets the fields to the defaults, or to those of the preset that is given.
func (n *Namespace) SetDefaults(given func(string) (string, bool)) {
	*n = DefaultNamespace()
	if name, ok := given("preset"); ok {
		if preset, err := Preset(name); err == nil {
			*n = preset
		}
	}
}

// SetDefaults sets the fields to those of a backfill of which nothing is said.
func (b *Backfill) SetDefaults(func(string) (string, bool)) { *b = Backfill{Window: DefaultWindow} }

// SetDefaults sets the fields to those of a cross-check of which nothing is said.
func (x *CrossCheck) SetDefaults(func(string) (string, bool)) {
	*x = CrossCheck{Every: DefaultCrossCheckEvery, MaxLag: "1h"}
}

// DefaultCrossCheckEvery is how often another auditor is asked.
const DefaultCrossCheckEvery = time.Minute

// The defaults of a verdict log: how often verdicts are appended, and when an epoch that others
// have followed counts as never published.
const (
	DefaultAppendEvery       = time.Minute
	DefaultNotPublishedAfter = 7 * 24 * time.Hour
)

// complete fills in the defaults that depend on other fields.
func (c *Config) complete() {
	if c.source.Given("verdict_log") {
		l := &c.VerdictLog
		l.Every = cmp.Or(l.Every, DefaultAppendEvery)
		if !c.source.Given("verdict_log.not_published_after") {
			l.NotPublishedAfter = DefaultNotPublishedAfter
		}
	}
	if c.source.Given("serve") && !c.source.Given("serve.page") {
		c.Serve.Page = true
	}
	for i := range c.Namespaces {
		n := &c.Namespaces[i]
		if anchor, err := verdict.ParseAnchor(n.Anchor); err == nil && !c.source.Given(fmt.Sprintf("namespaces[%d].first", i)) && n.Preset == "" {
			n.First = anchor.Epoch + 1
		}
		if n.Last != 0 && !c.source.Given(fmt.Sprintf("namespaces[%d].silent_after", i)) {
			n.SilentAfter = 0 // a closed log publishes nothing
		}
		for j := range n.CrossChecks {
			x := &n.CrossChecks[j]
			x.Namespace = cmp.Or(x.Namespace, n.Namespace)
		}
		n.Signing.complete(c.source.Given(fmt.Sprintf("namespaces[%d].signing", i)))
		for j := range n.Backfills {
			b := &n.Backfills[j]
			if b.From == 0 {
				b.From = n.First
			}
			if b.To == 0 {
				b.To = n.Last
			}
		}
	}
}

// presets are the public logs. No verifying key of theirs has been published.
var presets = map[string]func(*Namespace){
	"whatsapp-v1": func(n *Namespace) {
		n.Namespace = "whatsapp.key-transparency.v1"
		n.LogDirectory = "s3list+https://d1tfr3x7n136ak.cloudfront.net"
		n.Last = 2_026_881 // closed in March 2026
		n.SilentAfter = 0
	},
	"whatsapp-v2": func(n *Namespace) {
		n.Namespace = "whatsapp.key-transparency.v2"
		n.LogDirectory = "s3list+https://d4ttn6vhp3mg0.cloudfront.net"
		n.StatementOrigin = "whatsapp.kt/v2" // as the other witness of these logs calls them
		n.First = 722_606
		n.Cadence = 30 * time.Second
	},
	"messenger": func(n *Namespace) {
		n.Namespace = "messenger.key-transparency.v1"
		n.LogDirectory = "s3list+https://d2e61astky5m6k.cloudfront.net"
		n.StatementOrigin = "meta.messenger.kt/v1"
		n.First = 89_395 // the first that is still listed
		n.Cadence = 2 * time.Minute
	},
}

// PresetNames returns the names that Preset knows, sorted.
func PresetNames() []string { return slices.Sorted(maps.Keys(presets)) }

// PresetList returns PresetNames as a text: "a, b or c".
func PresetList() string {
	names := PresetNames()
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// Preset returns a built-in namespace, with defaults: whatsapp-v1 and whatsapp-v2 are WhatsApp's
// public logs, messenger is Messenger's.
func Preset(name string) (Namespace, error) {
	set, ok := presets[name]
	if !ok {
		return Namespace{}, fmt.Errorf("unknown preset %.60q: use %s", name, PresetList())
	}
	n := DefaultNamespace()
	n.Preset = name
	set(&n)
	return n, nil
}
