package bundle

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/jobs/incident"
)

// claimDisagreement claims what two say of the epoch: of a split view, of an auditor that
// contradicts itself, or of one that signed what was rejected.
func (c *Checked) claimDisagreement(e incident.Disagreement, files map[string][]byte) {
	a, b := e.Statements[0], e.Statements[1]
	claim := fmt.Sprintf("two digests are said to be that of epoch %d: %.64s, says %s, and %.64s, says %s", e.Epoch, a.Digest, by(a), b.Digest, by(b))
	if a.Digest == b.Digest {
		claim = fmt.Sprintf("%s signed epoch %d, which was rejected", by(a), e.Epoch)
	}
	proof, result := c.disagreement(e.Epoch, a, b, files)
	c.claim(claim, proof, result)
}

func by(s incident.Statement) string { return text.Clean(s.By, maxText/4) }

// disagreement judges two statements. Proven is only what two valid signatures say, under this
// log's name: of another name it is the maker's word that it is of the same log.
func (c *Checked) disagreement(epoch uint64, a, b incident.Statement, files map[string][]byte) (string, Result) {
	digests := [2]string{min(a.Digest, b.Digest), max(a.Digest, b.Digest)}
	for _, found := range c.contradictions {
		if found.epochs == [2]uint64{epoch, epoch} && found.digests == digests && found.convicts() {
			proof, result, _ := c.shownBy(found)
			return proof, result
		}
	}
	var proofs []string
	result := Shown
	signed := false
	for _, s := range []incident.Statement{a, b} {
		proof, r, isSigned := c.statement(epoch, s, files)
		proofs = append(proofs, proof)
		signed = signed || isSigned && r == Shown
		if r == NotShown {
			result = NotShown
		}
	}
	if !signed { // then it is nothing but words
		result = NotShown
	}
	return strings.Join(proofs, "; "), result
}

// statement says how far the bundle bears out that somebody said what they are said to have said.
func (c *Checked) statement(epoch uint64, s incident.Statement, files map[string][]byte) (proof string, result Result, signed bool) {
	switch {
	case s.Evidence != "":
		namespace, as := c.Manifest.Namespace, ""
		if s.Namespace != "" {
			namespace, as = s.Namespace, ", of a log called "+text.Clean(s.Namespace, maxText/4)
		}
		found := checkSigned(files[path.Join(evidenceDir, s.Evidence)], namespace, epoch, c.trusted)
		if found.unknown {
			return "what " + by(s) + " is said to have signed cannot be checked without that key, which is not among those that you named: " + found.Error, NotShown, true
		}
		if found.Error != "" || found.Digest != s.Digest {
			return "what " + by(s) + " is said to have signed is not validly signed: " + found.Error, NotShown, true
		}
		return fmt.Sprintf("digest %s is signed by key %s%s", found.Digest, found.Key, as), Shown, true
	case s.Answer != "":
		return fmt.Sprintf("that %s answered so is the word of whoever made the bundle", by(s)), Shown, false
	}
	isOf := func(b Batch) bool { return b.Epoch == epoch && b.Digest == s.Digest && b.Key == s.BatchKey }
	if i := slices.IndexFunc(c.Batches, isOf); i >= 0 {
		return fmt.Sprintf("batch %s is here (%s); that the log published it is the word of whoever made the bundle", c.Batches[i].Path, c.Batches[i].Outcome), Shown, false
	}
	return fmt.Sprintf("the batch that is said to end with %.64s is not in the bundle", s.Digest), NotShown, false
}
