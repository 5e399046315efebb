package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

// minPoll keeps a slip of the pen from becoming an attack on a log.
const minPoll = time.Second

// minRetention keeps a slip of the pen, such as 6m for half a year, from removing what cannot be brought back.
const minRetention = 24 * time.Hour

// maxWindow is where the tasks of one backfill would take 260 MB of Redis.
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
		v.must(path+"log_directory", false, "is missing: where does the log publish its batches?")
	case strings.HasPrefix(n.LogDirectory, "mem:"):
		v.must(path+"log_directory", false, "a bucket in memory is empty each time it is opened: name a folder, a bucket or a public log")
	default:
		v.check(path+"log_directory", blobstore.CheckURL(n.LogDirectory))
	}
	_, err := validator.ParseConfiguration(n.Configuration)
	v.check(path+"configuration", err)
	v.signatures(n, path)
	v.epochs(n, path)
	v.times(n, path)
	v.must(path+"retention", n.Retention == 0 || n.Retention >= minRetention, "%s is too short: want %s or more, and mind that m is a minute",
		DurationText(n.Retention), DurationText(minRetention))
	v.must(path+"retention", n.Retention == 0 || n.Archive, "nothing is archived: say archive: true, or leave retention out")
	v.must(path+"limits.max_bytes", n.Limits.MaxBytes >= 0, "is less than nothing")
	v.must(path+"limits.max_stored_bytes", n.Limits.MaxStoredBytes >= 0, "is less than nothing")
	v.must(path+"limits.max_elements", n.Limits.MaxElements >= 0, "is less than nothing")
	for i, b := range n.Backfills {
		v.backfill(n, b, fmt.Sprintf("%sbackfill[%d].", path, i))
	}
}

// preset holds a namespace against the one that it claims to be. Its batches may be read from a copy, and fewer of them.
func (v checker) preset(n *Namespace, path string) {
	if n.Preset == "" {
		return
	}
	p, err := Preset(n.Preset)
	if err != nil {
		v.check(path+"preset", err)
		v.problems.blame(path + "namespace")
		v.problems.blame(path + "log_directory")
		return
	}
	const other = "preset %s is the log with %s: for another log leave out the preset"
	v.must(path+"namespace", n.Namespace == p.Namespace, other, n.Preset, "the namespace "+p.Namespace)
	v.must(path+"configuration", n.Configuration == p.Configuration, other, n.Preset, "the configuration "+p.Configuration)
	v.must(path+"first", n.First >= p.First, "preset %s begins with epoch %d", n.Preset, p.First)
	v.must(path+"last", p.Last == 0 || n.Last != 0 && n.Last <= p.Last, "preset %s ends with epoch %d", n.Preset, p.Last)
}

func (v checker) signatures(n *Namespace, path string) {
	keys := map[string]int{}
	for i, key := range n.VerifyingKeys {
		at := fmt.Sprintf("%sverifying_keys[%d]", path, i)
		_, err := signature.ParseKeys([]string{key})
		v.check(at, err)
		first, twice := keys[key]
		v.must(at, !twice, "is the same key as verifying_keys[%d]", first)
		keys[key] = i
	}
	if n.Signatures == "" {
		return
	}
	v.check(path+"signatures", blobstore.CheckURL(n.Signatures))
	v.must(path+"signatures", len(n.VerifyingKeys) > 0, "needs the keys to check them with: give verifying_keys")
}

func (v checker) epochs(n *Namespace, path string) {
	v.must(path+"first", n.First <= verdict.MaxEpoch, "the audit store's layout ends at epoch %d", uint64(verdict.MaxEpoch))
	v.must(path+"last", n.Last <= verdict.MaxEpoch, "the audit store's layout ends at epoch %d", uint64(verdict.MaxEpoch))
	v.must(path+"last", n.Last == 0 || n.First <= n.Last, "%d is before first, which is %d", n.Last, n.First)
}

func (v checker) times(n *Namespace, path string) {
	v.must(path+"poll", n.Poll >= minPoll, "%s is too often: want %s or more", n.Poll, DurationText(minPoll))
	v.must(path+"settle", n.Settle >= 0, "is less than nothing")
	for _, t := range []struct {
		name string
		d    time.Duration
	}{{"silent_after", n.SilentAfter}, {"transient_after", n.TransientAfter}, {"backlog_age", n.BacklogAge}} {
		v.must(path+t.name, t.d == 0 || t.d >= n.Poll, "%s is shorter than poll, which is %s: nothing would have been looked at in between",
			DurationText(t.d), DurationText(n.Poll))
	}
	v.must(path+"silent_after", n.Last == 0 || n.SilentAfter == 0, "the log is closed after epoch %d (last), so it is silent: leave this out", n.Last)
}

func (v checker) backfill(n *Namespace, b Backfill, path string) {
	if n.Last != 0 && n.First > n.Last {
		v.problems.blame(path + "from")
		v.problems.blame(path + "to")
	}
	v.must(path+"from", b.From >= n.First, "%d is before the namespace's first, which is %d", b.From, n.First)
	v.must(path+"to", n.Last == 0 || b.To != 0 && b.To <= n.Last, "%d is after the namespace's last, which is %d", b.To, n.Last)
	v.must(path+"to", b.To <= verdict.MaxEpoch, "the audit store's layout ends at epoch %d", uint64(verdict.MaxEpoch))
	v.must(path+"to", b.To == 0 || b.From <= b.To, "%d is before from, which is %d", b.To, b.From)
	if b.Cron != "" {
		v.check(path+"cron", checkCron(b.Cron))
	}
	v.must(path+"window", b.Window >= 1, "%d is too little: want 1 or more", b.Window)
	v.must(path+"window", b.Window <= maxWindow, "%d is too much: want %d or less, which is 260 MB of redis", b.Window, maxWindow)
}
