package bundle

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/verdict"
)

// Result is how far something that is claimed holds.
type Result string

const (
	// Proven: by signed digests alone, under keys that the reader named. Nobody without these keys
	// can have made it up.
	Proven Result = "proven"
	// Shown: the bytes in the bundle are as claimed, but anybody could have made such bytes. That
	// the log published them is the word of whoever made the bundle.
	Shown Result = "shown"
	// NotShown: nothing in the bundle bears it out.
	NotShown Result = "not_shown"
)

// Claim is something that ktaudit said is wrong, and how far the bundle bears it out.
type Claim struct {
	Claim  string `json:"claim"`
	Result Result `json:"result"`
	Proven bool   `json:"proven"` // Result is Proven
	Proof  string `json:"proof"`  // or why there is none
	// Overruled: the auditor itself took it back, on record. It does not count.
	Overruled bool `json:"overruled,omitempty"`
}

func sorted(files map[string][]byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, path := range slices.Sorted(maps.Keys(files)) {
			if !yield(path, files[path]) {
				return
			}
		}
	}
}

// conclude holds what the bundle's batches and signatures show against what ktaudit said.
func (c *Checked) conclude(files map[string][]byte) {
	c.contradictions = contradictionsOf(c.Signed)
	for _, found := range c.contradictions {
		if found.convicts() && len(c.BySignatures) < maxProofs && !slices.Contains(c.BySignatures, found.text) {
			c.BySignatures = append(c.BySignatures, found.text)
		}
	}
	c.readOverrulings(files)
	for file, data := range sorted(files) {
		dir, name := path.Split(file)
		switch {
		case file == verdictPath(c.Manifest.Epoch):
			c.claimVerdict(data)
		case dir == incidentsDir+"/" && strings.HasPrefix(name, withdrawnPrefix):
			c.claimWithdrawn(files)
		case dir == evidenceDir+"/":
			c.claimEvidence(name, data, files)
		}
	}
	c.Result = c.result()
	c.Holds = c.Result == Proven
	c.Limits = c.limits()
}

// result is what follows from all claims. What signatures prove, no further claim takes away.
func (c *Checked) result() Result {
	if c.OwnKeys && len(c.BySignatures) > 0 {
		return Proven
	}
	counts := func(claim Claim) bool { return !claim.Overruled }
	unborne := func(claim Claim) bool { return counts(claim) && claim.Result == NotShown }
	nothing := !slices.ContainsFunc(c.Claims, counts) && len(c.BySignatures) == 0
	if nothing || slices.ContainsFunc(c.Claims, unborne) {
		return NotShown
	}
	return Shown
}

func (c *Checked) claim(claim, proof string, result Result) *Claim {
	c.Claims = append(c.Claims, Claim{Claim: text.Clean(claim, maxText), Result: result, Proven: result == Proven, Proof: proof})
	return &c.Claims[len(c.Claims)-1]
}

// claimVerdict claims the rejection of the epoch by its first verdict, and that by the newest of
// its overrulings.
func (c *Checked) claimVerdict(data []byte) {
	n := c.Manifest.Epoch
	v, err := verdict.Decode(data)
	if err == nil && v.Epoch == n && v.Outcome == verdict.Rejected {
		proof, result := c.rejection(v)
		claim := c.claim(fmt.Sprintf("epoch %d was rejected: %s", n, v.Reason), proof, result)
		claim.Overruled = len(c.Overrulings) > 0
	}
	if len(c.Overrulings) == 0 {
		return
	}
	if o := c.Overrulings[len(c.Overrulings)-1]; o.Verdict.Outcome == verdict.Rejected {
		proof, result := c.rejection(o.Verdict)
		c.claim(fmt.Sprintf("epoch %d was rejected by overruling %d: %s", n, o.Number, o.Verdict.Reason), proof, result)
	}
}

func (c *Checked) claimEvidence(name string, data []byte, files map[string][]byte) {
	n := c.Manifest.Epoch
	kind := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	switch {
	case kind("contradiction-"):
		if v, err := verdict.Decode(data); err == nil && v.Epoch == n {
			proof, result := c.contradiction(v)
			c.claim(fmt.Sprintf("epoch %d was judged again, and found %s", n, strings.TrimSpace(v.Outcome+" "+string(v.Reason))), proof, result)
		}
	case kind("broken-chain-"):
		var e incident.BrokenChain
		if json.Unmarshal(data, &e) == nil {
			proof, result := c.broken(e)
			c.claim(fmt.Sprintf("epochs %d and %d contradict each other: %s", e.Epochs[0].Epoch, e.Epochs[1].Epoch, e.Reason), proof, result)
		}
	case kind("split-view-"), kind("auditor-contradiction-"), kind("auditor-signed-rejected-"):
		var e incident.Disagreement
		if json.Unmarshal(data, &e) == nil && e.Epoch == n && len(e.Statements) == 2 {
			c.claimDisagreement(e, files)
		}
	case kind("posted-"):
		proof, result := c.equivocation(n)
		c.claim(fmt.Sprintf("two digests were posted for epoch %d to be signed", n), proof, result)
	case kind("names-changed-") && hasWent(data, n):
		c.claimWithdrawn(files)
	case kind("names-"):
		proof, result := c.equivocation(n)
		c.claim(fmt.Sprintf("the names of epoch %d contradict each other, or those of its neighbours", n), proof, result)
	}
}

// readOverrulings reads those of the epoch, in order.
func (c *Checked) readOverrulings(files map[string][]byte) {
	for file, data := range sorted(files) {
		var o verdict.Overruling
		if dir, _ := path.Split(file); dir != overruledDir+"/" || json.Unmarshal(data, &o) != nil || o.Validate() != nil {
			continue
		}
		if o.Namespace == c.Manifest.Namespace && o.Epoch == c.Manifest.Epoch && file == overrulingPath(o.Epoch, o.Number) {
			c.Overrulings = append(c.Overrulings, o)
		}
	}
}

// limits says what the bundle cannot prove.
func (c *Checked) limits() []string {
	limits := []string{
		"That the log published what is in it, when, and under which names: batches, listings, verdicts and times are the word of whoever " +
			"made the bundle. Anybody can make a batch that does not verify, or one that verifies from another digest to a signed one.",
		"Who signed what is not validly signed: anybody can spoil a signature. A valid one says which digest an epoch ends with, and no more.",
		"That nothing was left out, such as a later verdict or an overruling.",
	}
	if !c.OwnConfiguration {
		limits = append(limits, "That the log's tree is hashed as "+c.Configuration+": the bundle says so. Say it yourself with --configuration or --config.")
	}
	if !c.OwnKeys {
		limits = append(limits, "That the keys are the log's: the bundle brings them itself. Name those that the log published with --verifying-key or --config.")
	}
	if c.absence {
		limits = append(limits, "That a batch is gone from the log: no file can hold an absence. Look whether the log lists it.")
	}
	if len(c.Manifest.Missing) > 0 {
		limits = append(limits, "What the audit store did not have: "+strings.Join(c.Manifest.Missing, ", ")+".")
	}
	return limits
}
