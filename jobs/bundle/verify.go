package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/text"
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
	// Keys are those of the log, as the reader knows. Without any, the bundle's own are used, and
	// nothing is proven.
	Keys signature.Keys
	// Configuration is how the log's tree is hashed, as the reader knows. The zero value takes what
	// the bundle says, and holds nothing against a batch that verifies as something else.
	Configuration validator.Configuration
	// Namespace is the log that these are of. Empty: whatever the bundle is about.
	Namespace string
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
	// VerifiesAs is a configuration as which it verifies though it is rejected as the one that the
	// bundle names.
	VerifiesAs string `json:"verifies_as,omitempty"`
}

// Checked is what a bundle holds, checked anew, and what follows from it.
type Checked struct {
	Manifest Manifest `json:"manifest"`
	// OwnKeys and OwnConfiguration are whether the reader's were used, and not those of the bundle.
	OwnKeys          bool     `json:"own_keys"`
	OwnConfiguration bool     `json:"own_configuration"`
	Configuration    string   `json:"configuration"`
	Batches          []Batch  `json:"batches"`
	Signed           []Signed `json:"signed_digests"`
	// Overrulings are the later verdicts on the epoch; the last one counts.
	Overrulings []verdict.Overruling `json:"overrulings,omitempty"`
	Claims      []Claim              `json:"claims"`
	// BySignatures is what signed digests show that cannot all be of an honest log: whoever made
	// the bundle, nobody without the keys can have made them.
	BySignatures []string `json:"by_signatures"`
	// Result is what follows from all claims: Proven if the log is convicted by its signatures
	// under the reader's keys, Shown if every claim is borne out at least for whoever believes
	// the maker of the bundle.
	Result Result   `json:"result"`
	Holds  bool     `json:"holds"`  // Result is Proven
	Limits []string `json:"limits"` // what it cannot prove

	trusted        signature.Keys
	contradictions []contradiction
	absence        bool // something is said to be gone
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
		if o.Namespace != "" && m.Namespace != o.Namespace {
			return Checked{}, unreadable(fmt.Errorf("it is on %s, not on %s", m.Namespace, o.Namespace))
		}
	}
	configuration, err := v.configuration(m)
	if err != nil {
		return Checked{}, err
	}
	c := Checked{
		Manifest: m, OwnKeys: o.Keys.Len() > 0, BySignatures: []string{},
		Configuration: configuration.String(), OwnConfiguration: o.Configuration != validator.Configuration{},
	}
	for _, j := range v.order {
		c.Batches = append(c.Batches, v.judged(j))
	}
	keys := o.Keys
	if !c.OwnKeys {
		if keys, err = signature.ParseKeys(m.VerifyingKeys); err != nil {
			return c, unreadable(err)
		}
	}
	c.trusted = keys
	if c.Signed, err = v.signed(m, keys); err != nil {
		return c, err
	}
	c.conclude(v.small)
	return c, nil
}

// known are configurations that a log may have without anybody saying so: what a bundle calls
// something else may be an honest batch of these.
var known = []validator.Configuration{validator.WhatsAppV1(), validator.Experimental("ExampleLabel")}

// job is to judge a batch under a name, as one of a log with a configuration.
type job struct {
	path, key     string
	configuration validator.Configuration
}

// verification is what is known after some readings.
type verification struct {
	ctx       context.Context
	options   Options
	small     map[string][]byte // of all files but batches, by path
	done      map[job]Batch
	order     []job           // those with the configuration that counts
	unordered map[string]bool // batches that are to be read whole
	again     bool            // another reading is needed
}

// configuration is the one that counts.
func (v *verification) configuration(m Manifest) (validator.Configuration, error) {
	if v.options.Configuration != (validator.Configuration{}) {
		return v.options.Configuration, nil
	}
	c, err := validator.ParseConfiguration(m.Configuration)
	if err != nil {
		return c, unreadable(err)
	}
	return c, nil
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
	configuration, err := v.configuration(m)
	if err != nil {
		return err
	}
	j, wanted := v.next(f, configuration)
	if !wanted {
		return nil
	}
	b, again, err := v.judge(f, j, r)
	if err != nil {
		return err
	}
	if again {
		v.unordered[f.Path], v.again = true, true
		return nil
	}
	if v.done[j] = b; j.configuration == configuration {
		v.order = append(v.order, j)
	}
	_, more := v.next(f, configuration)
	v.again = v.again || more
	return nil
}

// next returns what a batch is to be judged as now: as each of its names, and then, if it was
// rejected as what only the bundle says that it is, as what else it may be.
func (v *verification) next(f File, configuration validator.Configuration) (job, bool) {
	for _, key := range f.Keys {
		j := job{f.Path, key, configuration}
		b, done := v.done[j]
		if !done {
			return j, len(v.order) < maxJudgements
		}
		if j, more := v.otherwise(j, b); more {
			return j, true
		}
	}
	return job{}, false
}

func (v *verification) otherwise(j job, b Batch) (job, bool) {
	if b.Outcome != verdict.Rejected || v.options.Configuration != (validator.Configuration{}) {
		return j, false
	}
	for _, j.configuration = range known {
		if _, done := v.done[j]; !done {
			return j, true
		}
	}
	return j, false
}

// judged is what came of a job, and of the same with other configurations.
func (v *verification) judged(j job) Batch {
	b := v.done[j]
	for _, j.configuration = range known {
		if v.done[j].Outcome == verdict.Verified && b.Outcome == verdict.Rejected {
			b.VerifiesAs = j.configuration.String()
		}
	}
	return b
}

// judge judges a batch while it is read, or says that it must be read again.
func (v *verification) judge(f File, j job, r io.Reader) (b Batch, again bool, err error) {
	b = Batch{Path: f.Path, SHA256: f.SHA256, Key: text.Clean(j.key, maxText)}
	name, err := fetcher.ReadKey(j.key)
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
	result, err := validator.Verify(v.ctx, name, batch, j.configuration, limits)
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
