package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/jobs/evidence"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

// maxJudgements bounds how many batches are judged, each under one of its names.
const maxJudgements = 64

// maxBatchWindow is how large a zstd window of a batch may be. One that needs more is not judged.
const maxBatchWindow = 128 << 20

// maxText bounds a text of the bundle's that is shown.
const maxText = 500

// Options say how a bundle is checked.
type Options struct {
	// Keys are those that the reader trusts. Without any, the bundle's own are used.
	Keys signature.Keys
	// Fetch and Limits bound a batch, as when it is audited.
	Fetch  fetcher.Options
	Limits validator.Options
}

// Batch is a batch of the bundle, judged anew under one of its names.
type Batch struct {
	Path      string         `json:"path"`
	SHA256    string         `json:"sha256"`
	Key       string         `json:"key"`
	Epoch     uint64         `json:"epoch"`
	Previous  string         `json:"previous_digest"`
	Digest    string         `json:"digest"`
	Outcome   string         `json:"outcome"` // verified, rejected, or empty: not judged
	Reason    verdict.Reason `json:"reason,omitempty"`
	Detail    string         `json:"detail,omitempty"`
	Inserted  int            `json:"inserted"`
	Unchanged int            `json:"unchanged"`
}

// Signed is a signed digest of the bundle.
type Signed struct {
	Epoch     uint64 `json:"epoch"` // that it was kept for
	Digest    string `json:"digest,omitempty"`
	KeyID     uint8  `json:"key_id"`
	Timestamp uint64 `json:"timestamp,omitempty"` // milliseconds since 1970
	// Error is why it is not valid; empty if a key signed it.
	Error string `json:"error,omitempty"`

	unknown bool // no key has its key_id, which says nothing against it
}

// Checked is what a bundle holds, checked anew, and what follows from it.
type Checked struct {
	Manifest Manifest `json:"manifest"`
	// OwnKeys is whether the reader's keys were used, and not those of the bundle.
	OwnKeys bool     `json:"own_keys"`
	Batches []Batch  `json:"batches"`
	Signed  []Signed `json:"signed_digests"`
	Claims  []Claim  `json:"claims"`
	// BySignatures is what signed digests show that cannot all be of an honest log: whoever made
	// the bundle, nobody without the keys can have made them.
	BySignatures []string `json:"by_signatures"`
	// Holds is whether there is a claim, and each is proven.
	Holds  bool     `json:"holds"`
	Limits []string `json:"limits"` // what it cannot prove
}

// Verify checks a bundle. Open opens it from its beginning, for each reading: batches are judged
// while they are read, and some need several. An error that is ErrUnreadable says that it is
// none, or damaged.
func Verify(ctx context.Context, open func() (io.ReadCloser, error), o Options) (Checked, error) {
	if o.Fetch.MaxWindow <= 0 {
		o.Fetch.MaxWindow = maxBatchWindow
	}
	v := &verification{ctx: ctx, options: o, small: map[string][]byte{}, done: map[job]Batch{}, unordered: map[string]bool{}}
	var m Manifest
	for v.again = true; v.again; {
		v.again = false
		r, err := open()
		if err != nil {
			return Checked{}, err
		}
		m, err = read(ctx, r, v.visit)
		if err = errors.Join(err, r.Close()); err != nil {
			return Checked{}, err
		}
	}
	c := Checked{Manifest: m, OwnKeys: o.Keys.Len() > 0}
	for _, j := range v.order {
		c.Batches = append(c.Batches, v.done[j])
	}
	keys := o.Keys
	if !c.OwnKeys {
		var err error
		if keys, err = signature.ParseKeys(m.VerifyingKeys); err != nil {
			return c, unreadable(err)
		}
	}
	c.Signed = v.signed(m, keys)
	c.conclude(v.small)
	return c, nil
}

// job is to judge a batch under a name.
type job struct{ path, key string }

// verification is what is known after some readings.
type verification struct {
	ctx       context.Context
	options   Options
	small     map[string][]byte // of all files but batches, by path
	done      map[job]Batch
	order     []job
	unordered map[string]bool // batches that are to be read whole
	again     bool            // another reading is needed
}

func (v *verification) visit(m Manifest, f File, r io.Reader) error {
	if !f.isBatch() {
		data, err := io.ReadAll(r)
		if err != nil {
			return unreadable(fmt.Errorf("%s: %w", f.Path, err))
		}
		v.small[f.Path] = data
		return nil
	}
	configuration, err := validator.ParseConfiguration(m.Configuration)
	if err != nil {
		return unreadable(err)
	}
	judgedNow := false
	for _, key := range f.Keys {
		j := job{f.Path, key}
		if _, done := v.done[j]; done || len(v.order) >= maxJudgements {
			continue
		}
		if judgedNow {
			v.again = true
			continue
		}
		judgedNow = true
		b, again, err := v.judge(f, key, configuration, r)
		if err != nil {
			return err
		}
		if again {
			v.unordered[f.Path], v.again = true, true
			continue
		}
		v.done[j], v.order = b, append(v.order, j)
	}
	return nil
}

// judge judges a batch while it is read, or says that it must be read again.
func (v *verification) judge(f File, key string, c validator.Configuration, r io.Reader) (b Batch, again bool, err error) {
	b = Batch{Path: f.Path, SHA256: f.SHA256, Key: text.Clean(key, maxText)}
	name, err := fetcher.ReadKey(key)
	if err != nil {
		b.Detail = "its name is none of a batch: " + text.Clean(err.Error(), maxText)
		return b, false, nil
	}
	b.Epoch, b.Previous, b.Digest = name.Epoch, name.PreviousDigest.String(), name.Digest.String()
	fail := func(err error) (Batch, bool, error) {
		if v.ctx.Err() != nil {
			return b, false, v.ctx.Err()
		}
		b.Detail = text.Clean(err.Error(), maxText)
		if reason := fetcher.Reason(err); reason != "" {
			b.Outcome, b.Reason = verdict.Rejected, reason
		}
		return b, false, nil
	}
	batch, err := fetcher.Decode(v.ctx, r, f.Size, v.options.Fetch)
	if err != nil {
		return fail(err)
	}
	defer batch.Close()
	limits := v.options.Limits
	limits.Ordered = !v.unordered[f.Path]
	result, err := validator.Verify(v.ctx, name, batch, c, limits)
	if errors.Is(err, validator.ErrUnordered) {
		return b, true, nil
	}
	if err == nil {
		err = batch.Finish()
	}
	if err != nil {
		return fail(err)
	}
	b.Outcome, b.Reason, b.Detail = string(result.Outcome), result.Reason, text.Clean(result.Detail, maxText)
	b.Inserted, b.Unchanged = result.Inserted, result.Unchanged
	return b, false, nil
}

// signed checks every signed digest, each once.
func (v *verification) signed(m Manifest, keys signature.Keys) []Signed {
	var all []Signed
	add := func(data []byte, epoch uint64) {
		s := Signed{Epoch: epoch}
		parsed, err := signature.Parse(data)
		if err == nil {
			s.Digest, s.KeyID, s.Timestamp = validator.Digest(parsed.Digest).String(), parsed.KeyID, parsed.Timestamp
			err = keys.Verify(parsed)
			s.unknown = errors.Is(err, signature.ErrUnknownKey)
		}
		if err == nil {
			err = signature.Check(parsed, m.Namespace, epoch, parsed.Digest)
		}
		if err != nil {
			s.Error = text.Clean(err.Error(), maxText)
		}
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	for path, data := range sorted(v.small) {
		dir, name, _ := strings.Cut(path, "/")
		switch {
		case dir == signedDir:
			if epoch, err := strconv.ParseUint(strings.TrimSuffix(name, ".json"), 10, 64); err == nil {
				add(data, epoch)
			}
		case dir == evidenceDir && strings.HasPrefix(name, "signed-digest-before-"):
			add(data, m.Epoch-1)
		case dir == evidenceDir && (strings.HasPrefix(name, "signed-digest-") || strings.HasPrefix(name, "signature-")):
			add(data, m.Epoch)
		case dir == evidenceDir && strings.HasPrefix(name, evidence.Kind+"-"):
			var f evidence.Findings
			if json.Unmarshal(data, &f) == nil {
				for _, s := range f.SignedDigests[:min(len(f.SignedDigests), maxFiles)] {
					if len(s.Data) > 0 {
						add(s.Data, s.Epoch)
					}
				}
			}
		}
	}
	return all
}
