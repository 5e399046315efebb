package config

import (
	"fmt"
	"strconv"
	"time"

	"github.com/ktaudit/ktaudit/internal/strictyaml"
	"github.com/ktaudit/ktaudit/internal/units"
)

// The tags yaml and zero are those of internal/strictyaml.

// Config is a configuration file with defaults and presets filled in. A zero field was left out and
// has no default.
type Config struct {
	// Redis is the URL of the Redis that holds the queue, or "embedded" for a queue in the process.
	// It contains no password.
	Redis string `yaml:"redis"`
	// RedisPasswordFile and RedisPasswordEnv name the file or the environment variable with the
	// password; at most one.
	RedisPasswordFile string `yaml:"redis_password_file"`
	RedisPasswordEnv  string `yaml:"redis_password_env"`
	// RedisSentinelPasswordFile and RedisSentinelPasswordEnv name those with the password of the
	// Sentinels, if they have one of their own; at most one.
	RedisSentinelPasswordFile string `yaml:"redis_sentinel_password_file"`
	RedisSentinelPasswordEnv  string `yaml:"redis_sentinel_password_env"`
	RedisTLS                  TLS    `yaml:"redis_tls"`
	// AuditStore is the bucket URL or folder of the audit store, which all namespaces share.
	AuditStore string `yaml:"audit_store"`
	// Listen is the address, host:port, to serve /metrics, /healthz and /readyz on. Empty means not
	// to.
	Listen string `yaml:"listen" zero:"none"`
	// DebugListen is the address to serve profiles and the metrics of Go's runtime on.
	DebugListen string `yaml:"debug_listen" zero:"none"`
	// Budget bounds the memory of all batches in flight in one process. 0 means half the
	// memory of the machine or container.
	Budget units.Bytes `yaml:"memory" zero:"auto"`
	// Concurrency is how many epochs a worker audits at the same time. 0 means DefaultConcurrency.
	Concurrency int `yaml:"concurrency" zero:"auto"`
	// ShutdownTimeout is how long epochs in flight may take after a worker was told to stop.
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout"`
	// CanaryEvery is of how many epochs a worker tests itself with one. 0 means that it never does.
	CanaryEvery int `yaml:"canary_every" zero:"never"`
	// StoreUnwritableAfter is how long the audit store may refuse to be written before that is an
	// alert, sent past the outbox; 0 means for ever.
	StoreUnwritableAfter time.Duration `yaml:"store_unwritable_after" zero:"never"`
	Alerts               Alerts        `yaml:"alerts"`
	// Runbook is the URL of the page that alerts link to, with the kind of the alert as the
	// fragment; empty means no link.
	Runbook string `yaml:"runbook" zero:"none"`
	// Heartbeat is pinged while all is well.
	Heartbeat Heartbeat `yaml:"heartbeat"`
	// Serve is how the API is served, by ktaudit serve only.
	Serve Serve `yaml:"serve"`
	// VerdictLog is the log of this auditor's own verdicts, Witnesses says who cosigns it, and
	// Witness how other logs are cosigned.
	VerdictLog VerdictLog `yaml:"verdict_log"`
	Witnesses  Witnesses  `yaml:"witnesses"`
	Witness    Witness    `yaml:"witness"`
	// Namespaces are the logs. There is at least one, and no two have the same name.
	Namespaces []Namespace `yaml:"namespaces"`

	source *strictyaml.Source // nil for a Config that was not read from a file
}

// Namespace is one log and how it is audited.
type Namespace struct {
	// Namespace is the log's name, as used in signed digests and in the audit store.
	Namespace string `yaml:"namespace"`
	// Preset names the built-in preset that supplies the fields that the file leaves out. See
	// PresetNames.
	Preset string `yaml:"preset"`
	// LogDirectory is the bucket URL or folder where the log publishes its batches.
	LogDirectory string `yaml:"log_directory"`
	// Configuration is how the log's tree is hashed; validator.ParseConfiguration reads it.
	Configuration string `yaml:"configuration"`
	// StatementOrigin is what the log is called in the statements of verdict_log.statement_key, so
	// that other auditors' can be compared with them. By default it is the namespace.
	StatementOrigin string `yaml:"statement_origin"`
	// VerifyingKeys are the trusted keys. Without any, signed digests are not checked.
	VerifyingKeys []VerifyingKey `yaml:"verifying_keys"`
	// Signatures is the bucket URL or folder of signed digests. Empty means that they are in the
	// audit store.
	Signatures string `yaml:"signatures"`
	// First is the first epoch to audit. Earlier ones are ignored.
	First uint64 `yaml:"first"`
	// Anchor is "EPOCH/DIGEST", the epoch before First and its digest, for verdict.ParseAnchor.
	// Epoch First must begin with that digest. Empty means that it may begin with any.
	Anchor string `yaml:"anchor"`
	// Last is the last epoch of a log that is closed. 0 means that it is still being published.
	Last uint64 `yaml:"last" zero:"none"`
	// Poll is the interval between checks for new epochs.
	Poll time.Duration `yaml:"poll"`
	// Cadence is how often the log publishes. It bounds how far ahead epochs are followed, and for
	// how long a missing one is looked for before that is an alert. 0 means to measure it.
	Cadence time.Duration `yaml:"cadence" zero:"auto"`
	// Settle is how old a batch or signed digest must be before an error in it is held against the
	// log. 0 means no minimum, for a log that is completely written.
	Settle time.Duration `yaml:"settle" zero:"none"`
	// SilentAfter is how long a log may publish nothing before that is an alert; 0 means for ever,
	// as for a closed log.
	SilentAfter time.Duration `yaml:"silent_after" zero:"never"`
	// TransientAfter is how long an epoch may fail for transient reasons before that is an alert; 0
	// means for ever.
	TransientAfter time.Duration `yaml:"transient_after" zero:"never"`
	// BacklogAge is how long a published epoch may lack a verdict before that is an alert; 0 means
	// for ever.
	BacklogAge time.Duration `yaml:"backlog_age" zero:"never"`
	// MaxLag is how far the audit may be behind the newest published epoch before status is not
	// good, for units.ParseLag; empty means as far as it likes.
	MaxLag string `yaml:"max_lag" zero:"never"`
	// ChainEvery is how often all names of the log are walked; new ones are as they come. 0 means
	// that names are not walked.
	ChainEvery time.Duration `yaml:"chain_every" zero:"never"`
	// RecheckAfter are the ages of a verdict at which what the log lists of its epoch is compared
	// with what was judged; none: at no age. RecheckHistory is in about what time all of history is
	// looked at once more, at random; 0 means never.
	RecheckAfter   []time.Duration `yaml:"recheck_after" zero:"never"`
	RecheckHistory time.Duration   `yaml:"recheck_history" zero:"never"`
	// One in ReverifyOneIn verified epochs is fetched and audited again each day, as far as
	// ReverifyBytes go; 0 means that none is.
	ReverifyOneIn int         `yaml:"reverify_one_in" zero:"never"`
	ReverifyBytes units.Bytes `yaml:"reverify_bytes"`
	// Archive keeps every batch in the audit store, for Retention; 0 means for ever.
	Archive   bool          `yaml:"archive"`
	Retention time.Duration `yaml:"retention" zero:"for ever"`
	Evidence  Evidence      `yaml:"evidence"`
	Limits    Limits        `yaml:"limits"`
	Backfills []Backfill    `yaml:"backfill,single"`
	// Signing is how the digests that the log posts are signed. The zero value means that none are.
	Signing Signing `yaml:"signing"`
	// CrossChecks are other auditors of the log, whose signed digests are compared with it.
	CrossChecks []CrossCheck `yaml:"cross_check,single"`
}

// VerifyingKey is a key and the epochs that it is trusted for, both included; 0 is no bound. In the
// file its text may stand for it.
type VerifyingKey struct {
	Key       string `yaml:"key,alone"`
	FromEpoch uint64 `yaml:"from_epoch"`
	ToEpoch   uint64 `yaml:"to_epoch"`
}

// String is the key for signature.ParseKeys: alone, or with "@FROM-TO".
func (k VerifyingKey) String() string {
	bound := func(epoch uint64) string {
		if epoch == 0 {
			return ""
		}
		return strconv.FormatUint(epoch, 10)
	}
	if k.FromEpoch == 0 && k.ToEpoch == 0 {
		return k.Key
	}
	return k.Key + "@" + bound(k.FromEpoch) + "-" + bound(k.ToEpoch)
}

// Keys are the trusted keys for signature.ParseKeys.
func (n Namespace) Keys() []string { return keyTexts(n.VerifyingKeys) }

func keyTexts(keys []VerifyingKey) (texts []string) {
	for _, key := range keys {
		texts = append(texts, key.String())
	}
	return texts
}

// Evidence bounds what is kept of the batches that an incident is about, beside the one that was
// judged. Of others the size is kept, and the hash if it is known.
type Evidence struct {
	// MaxBatches is how many are kept for one incident, MaxBytes how large each may be as stored.
	MaxBatches int         `yaml:"max_batches"`
	MaxBytes   units.Bytes `yaml:"max_bytes"`
}

// Limits bound one batch. A batch that exceeds the first three is rejected.
type Limits struct {
	// MaxBytes bounds a batch after decompression, MaxStoredBytes as it is stored.
	MaxBytes       units.Bytes `yaml:"max_bytes"`
	MaxStoredBytes units.Bytes `yaml:"max_stored_bytes"`
	// MaxElements bounds the inserted and the unchanged elements together.
	MaxElements int `yaml:"max_elements"`
	// MinRate is how many stored bytes must come in a second. A slower batch is tried again later.
	MinRate units.Bytes `yaml:"min_rate"`
}

// Backfill is a range of history that is audited beside the new epochs.
type Backfill struct {
	// From and To are the first and the last epoch. To is 0 for the newest one of a log that is not
	// closed.
	From uint64 `yaml:"from"`
	To   uint64 `yaml:"to" zero:"newest"`
	// Cron is when to begin or continue, in UTC, for cron.Parse. Empty means at once.
	Cron string `yaml:"cron"`
	// Window is how many of its epochs may be on the queue at the same time.
	Window int `yaml:"window"`
}

// Find returns the namespace of that name.
func (c *Config) Find(namespace string) (Namespace, bool) {
	for _, n := range c.Namespaces {
		if n.Namespace == namespace {
			return n, true
		}
	}
	return Namespace{}, false
}

// Place returns where a setting stands in the file, as in "ktaudit.yaml:3:8: redis", to begin an
// error about it with; empty without a file.
func (c *Config) Place(setting string) string { return c.source.Place(setting) }

// PlaceOf is Place for a setting of a log.
func (c *Config) PlaceOf(namespace, setting string) string {
	for i, n := range c.Namespaces {
		if n.Namespace == namespace {
			return c.source.Place(fmt.Sprintf("namespaces[%d].%s", i, setting))
		}
	}
	return ""
}
