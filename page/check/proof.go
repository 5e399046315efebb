package check

//go:generate go test . -run ^TestBuilt -update

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/ktaudit/ktaudit/transparency/tlogproof"
	"github.com/ktaudit/ktaudit/verdict"
)

// Outcome says which way something went. Unclear is neither for nor against what was checked.
type Outcome string

const (
	Good    Outcome = "good"
	Wrong   Outcome = "wrong"
	Unclear Outcome = "unclear"
)

// Report is what a reader is told. Its texts are plain, not HTML.
type Report struct {
	Outcome Outcome `json:"outcome"`
	Summary string  `json:"summary"`
	Steps   []Step  `json:"steps"`
}

// Step is one of the things that were checked.
type Step struct {
	Outcome Outcome `json:"outcome"`
	Title   string  `json:"title"`
	Text    string  `json:"text"`
}

func (r *Report) add(o Outcome, title, format string, args ...any) {
	r.Steps = append(r.Steps, Step{o, title, fmt.Sprintf(format, args...)})
}

func (r Report) conclude(o Outcome, format string, args ...any) Report {
	r.Outcome, r.Summary = o, fmt.Sprintf(format, args...)
	return r
}

// Proof is a question: whether an auditor's log has the verdict that a page shows.
type Proof struct {
	Namespace string
	Epoch     uint64
	Verdict   []byte // as the page has it
	File      []byte // the tlog-proof
	Log       string // the auditor's verifier key
	Witnesses string // verifier keys, separated by white space
	Require   int    // how many of them must have cosigned
}

// Check answers p by the keys in it alone.
func (p Proof) Check() (r Report) {
	log := strings.TrimSpace(p.Log)
	if log == "" {
		return r.conclude(Unclear, "Nothing was checked: give the key of the auditor's verdict log.")
	}
	keys, err := tlogproof.Auditor(log, "")
	if err == nil {
		keys, err = keys.Require(p.Require, strings.Fields(p.Witnesses))
	}
	if err != nil {
		return r.conclude(Unclear, "Nothing was checked, for the keys cannot be used: %v.", err)
	}
	found, err := tlogproof.Check(p.File, keys)
	if err != nil && !errors.Is(err, verdict.ErrNewerSchema) {
		return p.refuse(r, keys, err)
	}
	r.add(Good, "Signature of the auditor", "%s signed that its log has %s and the root hash %s. The signature was verified with the key above.",
		found.Origin, entries(found.Size), found.Root)
	r.add(Good, "Inclusion in the log", "The hash of the verdict's bytes and the hashes in the proof give that root, with the verdict as entry %d: what was signed includes it.", found.Index)
	p.addCosignatures(&r, found)
	if err != nil {
		return r.conclude(Unclear, "The log has this entry, but a later version of ktaudit wrote it, which this one cannot read.")
	}
	if found.Namespace != p.Namespace || found.Epoch != p.Epoch {
		r.add(Wrong, "The epoch of this page", "The proof is of epoch %d of %s, not of epoch %d of %s.", found.Epoch, found.Namespace, p.Epoch, p.Namespace)
		return r.conclude(Wrong, "The proof is about another epoch than this page.")
	}
	if !bytes.Equal(found.Entry, p.Verdict) {
		r.add(Wrong, "The verdict of this page", "Its bytes differ from those that the log has: this page shows something that the auditor did not sign.")
		return r.conclude(Wrong, "The verdict on this page is not the one in the auditor's log.")
	}
	r.add(Good, "The verdict of this page", "Its %d bytes are those of the log's entry. %s", len(p.Verdict), says(found))
	r.add(Unclear, "Not checked here", "What the verdict itself says: for that, verify the log's own proof. What was said of this epoch later, such as an overruling, is in the log of events.")
	if !found.Met() {
		return r.conclude(Unclear, "The auditor's log has this verdict, but %d cosigned where you require %s.", len(found.Cosigned), witnesses(found.Required))
	}
	if found.Required == 0 {
		return r.conclude(Good, "The auditor's log has this verdict. No witness was required: the auditor may show others another log.")
	}
	return r.conclude(Good, "The auditor's log has this verdict, and %s saw the same log.", witnesses(len(found.Cosigned)))
}

// refuse says why a proof shows nothing.
func (p Proof) refuse(r Report, keys tlogproof.Keys, err error) Report {
	switch {
	case errors.Is(err, tlogproof.ErrSignature):
		r.add(Wrong, "Signature of the auditor", "There is none of %s under the key above that holds, or one of a witness is wrong: %v.", keys.Origin(), err)
	case errors.Is(err, tlogproof.ErrNotIncluded):
		r.add(Good, "Signature of the auditor", "%s signed the tree.", keys.Origin())
		r.add(Wrong, "Inclusion in the log", "The hashes do not lead from the verdict to the tree that was signed: %v.", err)
	default:
		r.add(Wrong, "The proof", "It cannot be read as one: %v.", err)
	}
	return r.conclude(Wrong, "The proof does not hold. Nothing shows that the auditor's log has this verdict.")
}

func (p Proof) addCosignatures(r *Report, found tlogproof.Result) {
	outcome := Good
	if !found.Met() {
		outcome = Wrong
	}
	if found.Known == 0 {
		r.add(Unclear, "Cosignatures of witnesses", "You named no witness. The proof has %d further signatures, of which nothing is known here.", found.Others)
		return
	}
	var by []string
	for _, c := range found.Cosigned {
		by = append(by, fmt.Sprintf("%s at %s UTC", c.Name, c.At.Format("2006-01-02 15:04:05")))
	}
	text := fmt.Sprintf("%d of %s cosigned, %d are required", len(by), witnesses(found.Known), found.Required)
	if len(by) > 0 {
		text += ": " + strings.Join(by, "; ") + ". Each says that the log only grew since it saw it before"
	}
	r.add(outcome, "Cosignatures of witnesses", "%s.", text)
}

// says puts an entry into words, so that a rejection that is proven to be on record does not look
// like a good sign.
func says(found tlogproof.Result) string {
	switch v := found.Verdict; {
	case v == nil:
		return fmt.Sprintf("It says that epoch %d was never published.", found.Epoch)
	case v.Outcome == verdict.Verified:
		return fmt.Sprintf("It says that epoch %d was verified: the log's tree only grew, from %s to %s.", v.Epoch, v.PreviousDigest, v.Digest)
	default:
		return fmt.Sprintf("It says that epoch %d was REJECTED: %s.", v.Epoch, v.Reason)
	}
}

func entries(n int64) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

func witnesses(n int) string {
	if n == 1 {
		return "1 witness"
	}
	return fmt.Sprintf("%d witnesses", n)
}
