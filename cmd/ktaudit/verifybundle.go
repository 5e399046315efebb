package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

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
	path := c.Inputs[0]
	options, err := c.trusted(path)
	if err != nil {
		return err
	}
	checked, err := bundle.Verify(ctx, func() (io.ReadCloser, error) { return os.Open(path) }, options)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if a.json {
		err = a.object(checked)
	} else {
		a.printBundle(checked)
		err = a.out.err
	}
	if err != nil {
		return err
	}
	switch checked.Result {
	case bundle.Proven:
		return nil
	case bundle.Shown:
		return errShown
	}
	return errFound
}

// trusted are the keys and the tree configuration that the user names, by flags or by the
// configuration of the log that the bundle says it is about.
func (c verifyCmd) trusted(path string) (o bundle.Options, err error) {
	o = bundle.Options{Fetch: c.limitFlags.fetcher(), Limits: c.limitFlags.validator()}
	keys := c.VerifyingKey
	if c.Config != "" || c.Preset != "" {
		f, err := os.Open(path)
		if err != nil {
			return o, err
		}
		defer f.Close()
		m, err := bundle.ReadManifest(f)
		if err != nil {
			return o, fmt.Errorf("%s: %w", path, err)
		}
		settings, n, err := c.loadOne(m.Namespace)
		if err != nil {
			return o, fmt.Errorf("the bundle is on %s: %w", m.Namespace, err)
		}
		o.Namespace = n.Namespace
		c.Configuration = cmp.Or(c.Configuration, n.Configuration)
		if len(keys) == 0 {
			keys = statementKeys(settings, n)
		}
	}
	if c.Configuration != "" {
		if o.Configuration, err = c.configuration(); err != nil {
			return o, err
		}
	}
	if o.Keys, err = signature.ParseKeys(keys); err != nil {
		return o, fmt.Errorf("--verifying-key: %w", err)
	}
	return o, nil
}

// words are what a result is called, and what it means for the bundle.
var words = map[bundle.Result][2]string{
	bundle.Proven:   {"PROVEN", "By signed digests that contradict each other: whoever made this bundle, only holders of the keys that you named can have signed them."},
	bundle.Shown:    {"SHOWN", "What is claimed is in the bytes of this bundle. That the log published them is the word of whoever made it."},
	bundle.NotShown: {"NOT SHOWN", "The bundle does not bear out all that is claimed in it."},
}

func (a *app) printBundle(c bundle.Checked) {
	m := c.Manifest
	a.printf("bundle on epoch %d of %s\n\n%s. %s\n", m.Epoch, m.Namespace, words[c.Result][0], words[c.Result][1])
	for _, o := range c.Overrulings {
		a.printf("\nOverruled %s by %s: %s\n  the verdict since then: %s\n", o.At.UTC().Format(time.RFC3339), text.Clean(o.By, maxShownText), text.Clean(o.Reason, maxShownText),
			strings.TrimSpace(o.Verdict.Outcome+" "+string(o.Verdict.Reason)))
	}
	a.printf("\nWhat is claimed, and what the bundle makes of it:\n")
	for _, claim := range c.Claims {
		result := words[claim.Result][0]
		if claim.Overruled {
			result = "overruled"
		}
		a.printf("  %-9s  %s\n             %s\n", result, text.Clean(claim.Claim, maxShownText), text.Clean(claim.Proof, 2*maxShownText))
	}
	if len(c.Claims) == 0 {
		a.printf("  nothing that can be checked here\n")
	}
	named := "IF the keys in it are the log's: the bundle brings them itself"
	if c.OwnKeys {
		named = "whoever made it, under the keys that you named"
	}
	a.printf("\nWhat signatures in it prove by themselves, %s:\n", named)
	for _, proof := range c.BySignatures {
		a.printf("  %s\n", text.Clean(proof, 2*maxShownText))
	}
	if len(c.BySignatures) == 0 {
		a.printf("  nothing\n")
	}
	a.printf("\nWhat was checked here, as of a log whose tree is hashed as %s:\n", text.Clean(c.Configuration, maxShownText))
	for _, b := range c.Batches {
		what := "not judged: " + b.Detail
		switch {
		case b.Reason != "":
			what = fmt.Sprintf("rejected: %s: %s", b.Reason, b.Detail)
			if b.VerifiesAs != "" {
				what += ". It verifies as " + b.VerifiesAs
			}
		case b.Outcome != "":
			what = fmt.Sprintf("verifies, %d inserted, %d unchanged", b.Inserted, b.Unchanged)
		}
		a.printf("  batch %s (sha256 %s)\n              %s\n", b.Key, b.SHA256, text.Clean(what, maxShownText))
	}
	for _, s := range c.Signed {
		what := fmt.Sprintf("signed by key %s for digest %s", s.Key, s.Digest)
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
