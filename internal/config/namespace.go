package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/internal/units"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

// minPoll keeps a typing mistake from becoming an attack on a log.
const minPoll = time.Second

// minCadence is the shortest cadence. No log known is near it.
const minCadence = 10 * time.Millisecond

// minChainEvery keeps a typing mistake from listing a long log without an end.
const minChainEvery = 10 * time.Minute

// minRecheck and maxRechecks bound at which ages epochs are looked at again, and how often.
const (
	minRecheck  = time.Second
	maxRechecks = 10
)

// minRetention keeps a typing mistake, such as 6m for half a year, from removing batches for good.
const minRetention = 24 * time.Hour

// maxWindow bounds the tasks of one backfill to 260 MB of Redis.
const maxWindow = 1_000_000

func (v checker) namespace(n *Namespace, path string) {
	v.preset(n, path)
	if n.Namespace == "" {
		v.must(path+"namespace", false, "is missing: give the log's name, or a preset")
	} else {
		v.check(path+"namespace", verdict.CheckNamespace(n.Namespace))
	}
	switch {
	case n.LogDirectory == "":
		v.must(path+"log_directory", false, "is missing: give the bucket or folder where the log publishes its batches")
	case strings.HasPrefix(n.LogDirectory, "mem:"):
		v.must(path+"log_directory", false, "a bucket in memory is always empty when opened: give a folder, a bucket or a public log")
	default:
		v.check(path+"log_directory", blobstore.CheckURL(n.LogDirectory))
	}
	_, err := validator.ParseConfiguration(n.Configuration)
	v.check(path+"configuration", err)
	v.signatures(n, path)
	v.epochs(n, path)
	v.times(n, path)
	if n.MaxLag != "" {
		_, err := units.ParseLag(n.MaxLag)
		v.check(path+"max_lag", err)
	}
	v.must(path+"chain_every", n.ChainEvery == 0 || n.ChainEvery >= minChainEvery, "%s is too short: want %s or more, or never",
		units.DurationText(n.ChainEvery), units.DurationText(minChainEvery))
	v.must(path+"recheck_after", len(n.RecheckAfter) <= maxRechecks, "has %d ages: want %d at most", len(n.RecheckAfter), maxRechecks)
	for i, age := range n.RecheckAfter {
		v.must(fmt.Sprintf("%srecheck_after[%d]", path, i), age >= minRecheck, "%s is too short: want %s or more", units.DurationText(age), units.DurationText(minRecheck))
	}
	v.must(path+"recheck_history", n.RecheckHistory >= 0, "is negative")
	v.must(path+"reverify_one_in", n.ReverifyOneIn >= 0, "is negative")
	v.must(path+"reverify_bytes", n.ReverifyBytes >= 0, "is negative")
	v.must(path+"retention", n.Retention == 0 || n.Retention >= minRetention, "%s is too short: want %s or more; note that m stands for minutes",
		units.DurationText(n.Retention), units.DurationText(minRetention))
	v.must(path+"retention", n.Retention == 0 || n.Archive, "has no effect without an archive: set archive: true, or leave retention out")
	v.must(path+"limits.max_bytes", n.Limits.MaxBytes >= 0, "is negative")
	v.must(path+"limits.max_stored_bytes", n.Limits.MaxStoredBytes >= 0, "is negative")
	v.must(path+"limits.min_rate", n.Limits.MinRate >= 1, "is too small: want 1B or more")
	v.must(path+"limits.max_elements", n.Limits.MaxElements >= 0, "is negative")
	v.must(path+"evidence.max_batches", n.Evidence.MaxBatches >= 0, "is negative")
	v.must(path+"evidence.max_bytes", n.Evidence.MaxBytes >= 0, "is negative")
	v.signing(n.Signing, path+"signing.")
	v.crossChecks(n, path)
	for i, b := range n.Backfills {
		v.backfill(n, b, fmt.Sprintf("%sbackfill[%d].", path, i))
	}
}

// preset compares a namespace with its preset. Its batches may be read from a copy, and may be
// fewer.
func (v checker) preset(n *Namespace, path string) {
	if n.Preset == "" {
		return
	}
	p, err := Preset(n.Preset)
	if err != nil {
		v.check(path+"preset", err)
		v.problems.Blame(path + "namespace")
		v.problems.Blame(path + "log_directory")
		return
	}
	const other = "does not match preset %s, which has %s: leave out the preset to audit another log"
	v.must(path+"namespace", n.Namespace == p.Namespace, other, n.Preset, "the namespace "+p.Namespace)
	v.must(path+"configuration", n.Configuration == p.Configuration, other, n.Preset, "the configuration "+p.Configuration)
	v.must(path+"first", n.First >= p.First, "is before the first epoch of preset %s, which is %d", n.Preset, p.First)
	v.must(path+"last", p.Last == 0 || n.Last != 0 && n.Last <= p.Last, "is after the last epoch of preset %s, which is %d", n.Preset, p.Last)
}

func (v checker) signatures(n *Namespace, path string) {
	v.keys(n.VerifyingKeys, path+"verifying_keys")
	if n.Signatures == "" {
		return
	}
	if client.IsBucketURL(n.Signatures) {
		v.check(path+"signatures", client.CheckBucketURL(n.Signatures))
	} else {
		v.check(path+"signatures", blobstore.CheckURL(n.Signatures))
	}
	v.must(path+"signatures", len(n.VerifyingKeys) > 0, "needs keys to check the signatures with: give verifying_keys")
}

func (v checker) keys(keys []VerifyingKey, path string) {
	texts := keyTexts(keys)
	for i, text := range texts {
		at := fmt.Sprintf("%s[%d]", path, i)
		v.must(at, keys[i].Key != "", "has no key: give its 64 hexadecimal digits")
		_, err := signature.ParseKeys([]string{text})
		v.check(at, err)
		first := slices.Index(texts, text)
		v.must(at, first == i, "repeats %s[%d]: remove one", path[strings.LastIndex(path, ".")+1:], first)
		for other := range texts[:i] {
			_, err := signature.ParseKeys([]string{texts[other], text})
			v.must(at, err == nil || v.problems.IsBlamed(fmt.Sprintf("%s[%d]", path, other)), "%v", err)
		}
	}
}

func (v checker) epochs(n *Namespace, path string) {
	v.must(path+"first", n.First <= verdict.MaxEpoch, "is too large: the last possible epoch is %d", uint64(verdict.MaxEpoch))
	if n.Anchor != "" {
		anchor, err := verdict.ParseAnchor(n.Anchor)
		v.check(path+"anchor", err)
		v.must(path+"anchor", err != nil || anchor.Epoch+1 == n.First, "is of epoch %d, but first is %d: give the digest of epoch %d, or set first to %d",
			anchor.Epoch, n.First, n.First-1, anchor.Epoch+1)
	}
	v.must(path+"last", n.Last <= verdict.MaxEpoch, "is too large: the last possible epoch is %d", uint64(verdict.MaxEpoch))
	v.must(path+"last", n.Last == 0 || n.First <= n.Last, "%d is before first, which is %d", n.Last, n.First)
}

func (v checker) times(n *Namespace, path string) {
	v.must(path+"poll", n.Poll >= minPoll, "%s is too short: want %s or more", n.Poll, units.DurationText(minPoll))
	v.must(path+"cadence", n.Cadence == 0 || n.Cadence >= minCadence, "%s is too short: want %s or more, or auto", n.Cadence, minCadence)
	v.must(path+"settle", n.Settle >= 0, "is negative")
	for _, t := range []struct {
		name string
		d    time.Duration
	}{{"silent_after", n.SilentAfter}, {"transient_after", n.TransientAfter}, {"backlog_age", n.BacklogAge}} {
		v.must(path+t.name, t.d == 0 || t.d >= n.Poll, "%s is shorter than poll, which is %s: want at least that",
			units.DurationText(t.d), units.DurationText(n.Poll))
	}
	v.must(path+"silent_after", n.Last == 0 || n.SilentAfter == 0, "cannot be used with last: a log that ended with epoch %d publishes nothing more; leave silent_after out", n.Last)
}

func (v checker) backfill(n *Namespace, b Backfill, path string) {
	if n.Last != 0 && n.First > n.Last {
		v.problems.Blame(path + "from")
		v.problems.Blame(path + "to")
	}
	v.must(path+"from", b.From >= n.First, "%d is before first of the namespace, which is %d", b.From, n.First)
	v.must(path+"to", n.Last == 0 || b.To != 0 && b.To <= n.Last, "%d is after last of the namespace, which is %d", b.To, n.Last)
	v.must(path+"to", b.To <= verdict.MaxEpoch, "is too large: the last possible epoch is %d", uint64(verdict.MaxEpoch))
	v.must(path+"to", b.To == 0 || b.From <= b.To, "%d is before from, which is %d", b.To, b.From)
	if b.Cron != "" {
		v.check(path+"cron", checkCron(b.Cron))
	}
	v.must(path+"window", b.Window >= 1, "%d is too small: want 1 or more", b.Window)
	v.must(path+"window", b.Window <= maxWindow, "%d is too large: want %d or less, which takes 260 MB of redis", b.Window, maxWindow)
}
