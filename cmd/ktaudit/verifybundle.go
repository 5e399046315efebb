package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/jobs/bundle"
	"github.com/ktaudit/ktaudit/signature"
)

// maxShownText is how much is printed of a text that a bundle has.
const maxShownText = 1000

// isBundle reports whether an argument is a file that ktaudit evidence wrote.
func isBundle(arg string) bool {
	info, err := os.Stat(arg)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	if strings.HasSuffix(arg, ".tar.zst") { // it may be damaged, and is to be told so
		return true
	}
	f, err := os.Open(arg)
	if err != nil {
		return false
	}
	defer f.Close()
	return bundle.IsBundle(f)
}

// verifyBundle checks a bundle and says what it proves.
func (c verifyCmd) verifyBundle(ctx context.Context, a *app) error {
	if c.given() || c.Epoch != 0 || c.named() {
		return errors.New("a bundle says itself what it is about: leave out --epoch, --from, --to, --name, --previous and --digest")
	}
	keys, err := signature.ParseKeys(c.VerifyingKey)
	if err != nil {
		return fmt.Errorf("--verifying-key: %w", err)
	}
	path := c.Inputs[0]
	checked, err := bundle.Verify(ctx, func() (io.ReadCloser, error) { return os.Open(path) }, bundle.Options{
		Keys: keys, Fetch: c.limitFlags.fetcher(), Limits: c.limitFlags.validator(),
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if a.json {
		err = a.object(checked)
	} else {
		a.printBundle(checked)
	}
	if err == nil && !checked.Holds {
		err = errFound
	}
	return err
}

func (a *app) printBundle(c bundle.Checked) {
	m := c.Manifest
	a.printf("bundle on epoch %d of %s\n", m.Epoch, m.Namespace)
	a.printf("\nWhat ktaudit says, and whether this bundle proves it:\n")
	for _, claim := range c.Claims {
		result := "NOT PROVEN"
		if claim.Proven {
			result = "proven"
		}
		a.printf("  %-10s  %s\n              %s\n", result, text.Clean(claim.Claim, maxShownText), text.Clean(claim.Proof, 2*maxShownText))
	}
	if len(c.Claims) == 0 {
		a.printf("  nothing that can be checked here\n")
	}
	provided := "if the keys in it are the log's"
	if c.OwnKeys {
		provided = "whoever made it"
	}
	a.printf("\nWhat signatures in it prove by themselves, %s:\n", provided)
	for _, proof := range c.BySignatures {
		a.printf("  %s\n", text.Clean(proof, 2*maxShownText))
	}
	if len(c.BySignatures) == 0 {
		a.printf("  nothing\n")
	}
	a.printf("\nWhat was checked here:\n")
	for _, b := range c.Batches {
		what := "not judged: " + b.Detail
		switch {
		case b.Reason != "":
			what = fmt.Sprintf("rejected: %s: %s", b.Reason, b.Detail)
		case b.Outcome != "":
			what = fmt.Sprintf("verifies, %d inserted, %d unchanged", b.Inserted, b.Unchanged)
		}
		a.printf("  batch %s (sha256 %s)\n              %s\n", b.Key, b.SHA256, text.Clean(what, maxShownText))
	}
	for _, s := range c.Signed {
		what := fmt.Sprintf("signed by key %d for digest %s", s.KeyID, s.Digest)
		if s.Error != "" {
			what = s.Error
		}
		a.printf("  signed digest of epoch %d: %s\n", s.Epoch, text.Clean(what, maxShownText))
	}
	if !slices.ContainsFunc(c.Signed, func(s bundle.Signed) bool { return s.Error == "" }) {
		a.printf("  no valid signed digest\n")
	}
	a.printf("\nWhat it cannot prove:\n")
	for _, limit := range c.Limits {
		a.printf("  %s\n", text.Clean(limit, 2*maxShownText))
	}
}
