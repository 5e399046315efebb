package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/jobs"
)

type headCmd struct {
	storedFlags
	From uint64 `group:"log" placeholder:"EPOCH" help:"Epoch to begin with. By default the first with a verdict, or that of the configuration."`
}

func (headCmd) Help() string {
	return `Prints the epoch up to which everything is verified, and the digest after it: whoever trusts this audit trusts that tree. Exits
with 1 if there is none.

Examples:
  ktaudit head --namespace example --audit-store ./audit
  ktaudit head --config ktaudit.yaml --json`
}

// head is what the command prints of one log.
type head struct {
	Namespace string `json:"namespace"`
	From      uint64 `json:"from"`
	Head      uint64 `json:"head"`   // 0: From is not verified
	Digest    string `json:"digest"` // after Head
	Newest    uint64 `json:"newest"` // the last epoch with a verdict
}

// Run prints the heads, one log after the other.
func (c headCmd) Run(ctx context.Context, a *app) (err error) {
	_, namespaces, err := c.logs("head")
	if err != nil {
		return err
	}
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	var found error
	for _, n := range namespaces {
		r := rangeFlags{From: c.From}
		r.fill(n)
		r.To = 0
		if err := r.checkBounds(); err != nil {
			return err
		}
		h, err := readHead(ctx, store, n.Namespace, r.From)
		if err != nil {
			return err
		}
		if h.Head == 0 {
			found = errFound
		}
		if err := a.printHead(h); err != nil {
			return err
		}
	}
	return found
}

func readHead(ctx context.Context, store *blobstore.Store, namespace string, from uint64) (head, error) {
	s, err := jobs.ReadStatus(ctx, store, namespace, from, 0, nil)
	if err != nil {
		return head{}, err
	}
	h := head{Namespace: namespace, From: s.From, Head: s.Head, Newest: s.To}
	if h.Head == 0 {
		return h, nil
	}
	h.Digest, err = verifiedDigest(ctx, store, namespace, h.Head)
	return h, err
}

// verifiedDigest returns the digest after an epoch that is verified, as the status says. The status may have that from a seal, so the
// verdict must be the one that was sealed: people trust what this returns.
func verifiedDigest(ctx context.Context, store *blobstore.Store, namespace string, epoch uint64) (string, error) {
	v, hash, err := store.VerdictObject(ctx, namespace, epoch)
	if err != nil {
		return "", err
	}
	seal, _, err := store.Seal(ctx, namespace, epoch/blobstore.EpochsPerShard)
	sealed := err == nil
	if err != nil && !errors.Is(err, blobstore.ErrNotFound) {
		return "", err
	}
	if v.Outcome != blobstore.Verified || sealed && seal.Verdicts[epoch-seal.From] != hex.EncodeToString(hash[:]) {
		return "", fmt.Errorf("the verdict on epoch %d of %s is not the one that was sealed: ktaudit seal --check says more", epoch, namespace)
	}
	return v.Digest, nil
}

func (a *app) printHead(h head) error {
	switch {
	case a.json:
		return a.object(h)
	case h.Head == 0 && h.From == 0:
		a.printf("%s: none: no epoch has a verdict\n", h.Namespace)
	case h.Head == 0:
		a.printf("%s: none: epoch %d is not verified\n", h.Namespace, h.From)
	default:
		a.printf("%s: %d %s\n", h.Namespace, h.Head, h.Digest)
	}
	return nil
}
