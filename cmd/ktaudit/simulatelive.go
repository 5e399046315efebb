package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/internal/wait"
	"gocloud.dev/blob"
)

// A live log waits that long after a fault of its bucket, and twice as long after each that
// follows.
const firstFaultWait, longestFaultWait = time.Second, time.Minute

// publishedEpoch is what simulate --publish-every prints of an epoch with --json.
type publishedEpoch struct {
	Namespace      string      `json:"namespace"`
	Epoch          uint64      `json:"epoch"`
	PreviousDigest string      `json:"previous_digest"`
	Digest         string      `json:"digest"`
	Tampered       simlog.Kind `json:"tampered,omitempty"`
	Objects        []string    `json:"objects"` // none if the epoch is missing on purpose
	Inserted       int         `json:"inserted"`
	Unchanged      int         `json:"unchanged"`
	StoredBytes    int64       `json:"stored_bytes"`
}

// publish publishes one epoch after another until ctx ends, which is no error, or all are there.
func (c simulateCmd) publish(ctx context.Context, a *app, proofs, signatures *blob.Bucket, o simlog.Options) error {
	a.serve(ctx)
	live, err := c.continued(ctx, proofs, signatures, o)
	if err != nil && ctx.Err() == nil {
		return err
	}
	if err == nil {
		if err := c.announce(a, o); err != nil {
			return err
		}
	}
	ticker := time.NewTicker(c.PublishEvery)
	defer ticker.Stop()
	faultWait := firstFaultWait
	for ctx.Err() == nil && (live == nil || !live.Complete()) {
		e := simlog.Epoch{}
		if live == nil { // after a fault
			live, err = c.continued(ctx, proofs, signatures, o)
		}
		if err == nil {
			e, err = live.Next(ctx)
		}
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, simlog.ErrOtherLog):
			return inOtherLog("--log-directory", c.LogDirectory, err)
		case err != nil:
			a.log.Warn().Err(err).Stringer("wait", faultWait).Msg("the simulated log cannot publish: it goes on where it stopped")
			live = nil
			_ = wait.For(ctx, faultWait) // the loop asks the context
			faultWait = min(2*faultWait, longestFaultWait)
		default:
			faultWait = firstFaultWait
			if err := c.reportEpoch(a, e); err != nil {
				return err
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
	}
	return nil
}

func (c simulateCmd) continued(ctx context.Context, proofs, signatures *blob.Bucket, o simlog.Options) (*simlog.Log, error) {
	live, err := simlog.Continue(ctx, proofs, signatures, o)
	if err != nil {
		return nil, inOtherLog("--log-directory", c.LogDirectory, err)
	}
	return live, nil
}

// announce prints what there is to know of the log before its first epoch is published.
func (c simulateCmd) announce(a *app, o simlog.Options) error {
	if a.json {
		return nil
	}
	a.line("namespace", "%s", c.Namespace)
	a.line("log", "%s", c.LogDirectory)
	c.printKey(a, o)
	a.printf("\nFollow it: %s\n", c.auditCommand(o))
	return a.out.err
}

// reportEpoch says that an epoch was published.
func (c simulateCmd) reportEpoch(a *app, e simlog.Epoch) error {
	event := a.log.Info().Str("namespace", c.Namespace).Uint64("epoch", e.Name.Epoch).Stringer("digest", e.Name.Digest)
	if e.Kind != "" {
		event = event.Str("tampered", string(e.Kind))
	}
	event.Msg("epoch published")
	if !a.json {
		return nil
	}
	return a.object(publishedEpoch{
		c.Namespace, e.Name.Epoch, e.Name.PreviousDigest.String(), e.Name.Digest.String(), e.Kind,
		append([]string{}, e.Objects...), e.Inserted, e.Unchanged, e.StoredBytes,
	})
}

// printKey prints how digests are signed, if they are.
func (c simulateCmd) printKey(a *app, o simlog.Options) {
	if o.SigningKey != nil {
		a.line("signed in", "%s", c.Signatures)
		a.line("key", "%s", verifyingKey(o.SigningKey))
	}
}

// auditCommand is a command that follows the log. Its audit store is made if it is a folder.
func (c simulateCmd) auditCommand(o simlog.Options) string {
	store, before := "audit", "mkdir -p audit && "
	if !strings.Contains(c.LogDirectory, "://") {
		store = filepath.Clean(c.LogDirectory) + "-audit"
		before = fmt.Sprintf("mkdir -p %s && ", shellWord(store))
	}
	command := fmt.Sprintf("%sktaudit run --namespace %s --log-directory %s --audit-store %s --from %d",
		before, shellWord(c.Namespace), shellWord(c.LogDirectory), shellWord(store), o.First)
	if c.Configuration != "" {
		command += " --configuration " + shellWord(c.Configuration)
	}
	if o.SigningKey != nil {
		command += fmt.Sprintf(" --signatures %s --verifying-key %s", shellWord(c.Signatures), verifyingKey(o.SigningKey))
	}
	return command
}

// shellWord returns a word as a shell takes it.
func shellWord(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+,=", r)
	}
	if word != "" && strings.TrimFunc(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
