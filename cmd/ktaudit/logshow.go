package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/jobs/witnessing"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/transparency/witnesses"
)

type logShowCmd struct {
	storedFlags
}

func (logShowCmd) Help() string {
	return `Shows the verifier key of each log, which is what you give to witnesses and to whoever checks what this auditor says, how many
entries it has, the newest checkpoint, the newest one that enough witnesses have cosigned, and where the log stands. It reads,
and checks nothing: see ktaudit log check.

Examples:
  ktaudit log show --config ktaudit.yaml
  ktaudit log show --config ktaudit.yaml --namespace example --json`
}

// shownLogs is what log show prints with --json.
type shownLogs struct {
	Namespace string   `json:"namespace"`
	Verdicts  shownLog `json:"verdicts"`
	Events    shownLog `json:"events"`
	// Require is how many of the witnesses must have cosigned.
	Require   int            `json:"require,omitempty"`
	Witnesses []shownWitness `json:"witnesses,omitempty"`
}

type shownLog struct {
	Origin string `json:"origin"`
	Key    string `json:"key"`
	// First is the epoch of the first entry; it and all below are left out while there is none.
	First     uint64           `json:"first,omitempty"`
	Newest    *shownCheckpoint `json:"newest,omitempty"`
	Witnessed *shownCheckpoint `json:"witnessed,omitempty"`
	// Waits is what the verdict log stands at while a later epoch has a verdict.
	Waits *logWaits `json:"waits,omitempty"`
}

type shownCheckpoint struct {
	Generation uint64 `json:"generation"`
	Entries    int64  `json:"entries"`
	Root       string `json:"root"` // base64
	// Cosignatures are those of the witnesses that are configured.
	Cosignatures []witnesses.Cosignature `json:"cosignatures,omitempty"`
	Note         string                  `json:"note"`
}

type shownWitness struct {
	URL string `json:"url"`
	Key string `json:"key"`
}

// logWaits says for which epoch a verdict log waits.
type logWaits struct {
	Epoch  uint64    `json:"epoch"`
	Judged uint64    `json:"judged"` // the next epoch that has a verdict
	Since  time.Time `json:"since"`  // of that verdict
}

// Run shows the logs of one namespace after the other.
func (c logShowCmd) Run(ctx context.Context, a *app) (err error) {
	settings, namespaces, err := c.logs("log show")
	if err != nil {
		return err
	}
	own, err := needVerdictLog(settings, false)
	if err != nil {
		return err
	}
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return a.eachLog(namespaces, func(n config.Namespace) error {
		shown, err := own.show(ctx, store, n.Namespace)
		if err != nil {
			return err
		}
		if a.json {
			return a.object(shown)
		}
		a.printLogs(shown)
		return nil
	})
}

func (v *verdictLog) show(ctx context.Context, store *auditstore.Store, namespace string) (shownLogs, error) {
	s := shownLogs{Namespace: namespace, Require: v.witnesses.Require}
	for _, m := range v.witnesses.Members {
		s.Witnesses = append(s.Witnesses, shownWitness(m))
	}
	verdicts, events, err := v.both(store, namespace)
	if err != nil {
		return s, err
	}
	if s.Verdicts, err = v.showOne(ctx, store, namespace, verdicts); err == nil {
		s.Events, err = v.showOne(ctx, store, namespace, events)
	}
	return s, err
}

func (v *verdictLog) showOne(ctx context.Context, store *auditstore.Store, namespace string, log witnessing.Log) (s shownLog, err error) {
	s.Origin = v.origin(namespace, log.Kind())
	if s.Key, err = v.key(namespace, log.Kind()); err != nil {
		return s, err
	}
	if log.Kind() == transparency.Verdicts {
		s.First, err = log.First(ctx)
		if errors.Is(err, transparency.ErrNoCheckpoint) {
			return s, nil
		}
		if err != nil {
			return s, err
		}
	}
	if s.Newest, err = showCheckpoint(ctx, log, log.Newest); err != nil || s.Newest == nil {
		return s, err
	}
	if s.Witnessed, err = showCheckpoint(ctx, log, log.Log.Witnessed); err != nil || log.Kind() != transparency.Verdicts {
		return s, err
	}
	next := s.First + uint64(s.Newest.Entries)
	judged, _, err := witnessing.JudgedFrom(ctx, store, namespace, next)
	if err != nil || judged <= next {
		return s, err
	}
	verdict, err := store.Verdict(ctx, namespace, judged)
	s.Waits = &logWaits{next, judged, verdict.FinishedAt.UTC()}
	return s, err
}

// showCheckpoint returns what a checkpoint says; nil if there is none.
func showCheckpoint(ctx context.Context, log witnessing.Log, read func(context.Context) (transparency.Checkpoint, error)) (*shownCheckpoint, error) {
	c, err := read(ctx)
	if errors.Is(err, transparency.ErrNoCheckpoint) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := &shownCheckpoint{Generation: c.Generation, Entries: c.N, Root: base64.StdEncoding.EncodeToString(c.Hash[:]), Note: string(c.Note)}
	if log.Witnesses != nil {
		s.Cosignatures = log.Witnesses.Cosigned(c.Note)
	}
	return s, nil
}

func (a *app) printLogs(s shownLogs) {
	line := func(title, format string, args ...any) { a.printf("%-12s %s\n", title, fmt.Sprintf(format, args...)) }
	line("namespace", "%s", s.Namespace)
	for _, log := range []struct {
		title string
		shownLog
	}{{"verdicts", s.Verdicts}, {"events", s.Events}} {
		line(log.title, "%s", log.Key)
		if log.Newest == nil {
			line("  newest", "nothing is appended yet")
			continue
		}
		epochs := ""
		if log.First > 0 {
			epochs = fmt.Sprintf(", epochs %d to %d", log.First, log.First+uint64(log.Newest.Entries)-1)
		}
		line("  newest", "%s%s, root %s", entriesText(log.Newest.Entries), epochs, log.Newest.Root)
		switch {
		case len(s.Witnesses) == 0:
			line("  witnessed", "no witnesses are configured")
		case log.Witnessed == nil:
			line("  witnessed", "nothing yet")
		default:
			line("  witnessed", "%s, root %s", entriesText(log.Witnessed.Entries), log.Witnessed.Root)
			for _, w := range log.Witnessed.Cosignatures {
				line("", "by %s at %s", w.Name, w.At.Format(time.RFC3339))
			}
		}
		if w := log.Waits; w != nil {
			line("  waits", "for epoch %d, which has no verdict; epoch %d has had one since %s", w.Epoch, w.Judged, w.Since.Format(time.RFC3339))
		}
	}
	for _, w := range s.Witnesses {
		line("witness", "%s %s", w.Key, w.URL)
	}
	if len(s.Witnesses) > 0 {
		line("required", "%d of %d witnesses", s.Require, len(s.Witnesses))
	}
}

func entriesText(n int64) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}
