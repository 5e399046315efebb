package main

import (
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/transparency/tlogproof"
	"github.com/ktaudit/ktaudit/verdict"
)

func (a *app) printChecked(c checkedFile) {
	switch {
	case c.Result == checkedBad:
		a.printf("FAILS. %s\n", text.Clean(c.Error, maxErrorLine))
		if c.isMalformed {
			a.printf("\nIt shows nothing, of nobody. It may be another file, or have been cut off or changed on its way: fetch it again.\n")
		} else {
			a.printf("\nIt shows nothing. If the keys are right, somebody changed the file, or made it with other keys. Fetch it again, and compare the keys.\n")
		}
	case c.Statement != nil:
		a.printStatement(c)
	default:
		a.printProof(c)
	}
}

func (a *app) printProof(c checkedFile) {
	r := c.Proof
	switch {
	case r.Absence != nil:
		a.printf("SAYS NOT PUBLISHED. The auditor says that %s never published epoch %d.\n", r.Namespace, r.Epoch)
	case r.Verdict.Outcome == verdict.Verified:
		a.printf("SAYS VERIFIED. The auditor says that it verified epoch %d of %s.\n", r.Epoch, r.Namespace)
	default:
		a.printf("SAYS REJECTED. The auditor says that epoch %d of %s is wrong.\n", r.Epoch, r.Namespace)
	}
	if c.Result == checkedLack {
		a.printf("TOO FEW WITNESSES. %d of %d that must have cosigned did: it may say something else to others.\n", len(r.Cosigned), r.Required)
	}
	a.printf("\n")
	a.line("log", "%s", r.Origin)
	a.line("entry", "%d of %d; entry 0 is epoch %d", r.Index, r.Size, r.First)
	a.line("root", "%s", r.Root)
	for _, w := range r.Cosigned {
		a.line("cosigned", "by %s at %s", text.Clean(w.Name, maxShownText), w.At.Format(time.RFC3339))
	}
	if r.Known == 0 {
		a.line("witnesses", "you named none; %d signatures are by keys that you did not name", r.Others)
	} else {
		a.line("witnesses", "%d of the %d that you named cosigned, %d must; %d other signatures are by keys that you did not name", len(r.Cosigned), r.Known, r.Required, r.Others)
	}
	if r.Absence != nil {
		a.line("by", "%s: %s", text.Clean(r.Absence.By, maxShownText), text.Clean(r.Absence.Reason, maxShownText))
	} else {
		a.printVerdictProven(r.Verdict)
	}
	a.printf("\nWhat this shows: that the holder of the auditor's key signed a log that has this entry, and can take it back only by signing another log.\n")
	a.printf("What was not checked:\n")
	if r.Required == 0 {
		a.printf("  that the auditor shows others the same log: name witnesses whom you trust, with --witness\n")
	}
	if r.Verdict != nil && r.Verdict.Batch.Key != "" {
		a.printf("  that the verdict is right: fetch the batch named above from the log, whose SHA-256 is above, and run `ktaudit verify`\n")
	}
	a.printf("  what the auditor said of the epoch later, such as an overruling: that is in its log of events, %s/events\n", r.Origin)
	a.printf("  that entry 0 is always that of epoch %d: compare with another proof of this log\n", r.First)
}

func (a *app) printVerdictProven(v *verdict.Verdict) {
	if v.Outcome == verdict.Verified {
		a.line("verdict", "verified: %d inserted, %d unchanged", v.Inserted, v.Unchanged)
	} else {
		a.line("verdict", "rejected: %s", v.Reason)
		if v.Detail != "" {
			a.line("detail", "%s", text.Clean(v.Detail, maxShownText))
		}
	}
	a.line("judged", "at %s, by %s", v.FinishedAt.UTC().Format(time.RFC3339), text.Clean(v.Software, maxShownText))
	if v.Digest != "" {
		a.line("previous", "%s", v.PreviousDigest)
		a.line("digest", "%s", v.Digest)
	}
	if v.Batch.Key != "" {
		a.line("batch", "%s", text.Clean(v.Batch.Key, maxShownText))
		a.line("sha256", "%s", v.Batch.SHA256)
	}
}

// tierText says what a statement of a tier says.
func tierText(t tlogproof.Tier) string {
	switch t {
	case tlogproof.TierVerified:
		return "VERIFIED: its batch proves that the tree only grew"
	case tlogproof.TierChained:
		return "CHAINED: the names of the epochs around it continue each other; no proof was looked at"
	}
	return "SIGNED: its key does not say how much was checked"
}

func (a *app) printStatement(c checkedFile) {
	s := c.Statement
	for _, signed := range s.Signed {
		a.printf("%s.\n", tierText(signed.Tier))
	}
	a.printf("\n")
	a.line("log", "%s", text.Clean(s.Origin, maxShownText))
	a.line("epoch", "%d", s.Epoch)
	a.line("digest", "%s", s.Digest)
	for _, signed := range s.Signed {
		a.line("signed", "%s", fmt.Sprintf("by %s, as of %s", text.Clean(signed.Name, maxShownText), signed.At.Format(time.RFC3339)))
	}
	if s.Others > 0 {
		a.line("", "%d other signatures are by keys that you did not name", s.Others)
	}
	a.printf("\nWhat this shows: that the holder of the key said so. It is no checkpoint of a transparency log, and whether the auditor says the same\n" +
		"to others is not shown: for that there is the proof that `ktaudit prove` makes.\n")
}
