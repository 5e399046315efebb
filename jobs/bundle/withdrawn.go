package bundle

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/evidence"
	"github.com/ktaudit/ktaudit/verdict"
)

// withdrawnPrefix is how the names of incidents begin that say that batches are gone from a log.
const withdrawnPrefix = "withdrawn."

// claimWithdrawn claims that the batch was judged, and is gone, once: a look at the epoch and a
// walk of names may both have found it.
func (c *Checked) claimWithdrawn(files map[string][]byte) {
	if c.absence {
		return
	}
	c.absence = true
	n := c.Manifest.Epoch
	claim := fmt.Sprintf("the batch of epoch %d was judged, and is gone from the log", n)
	v, err := verdict.Decode(files[verdictPath(n)])
	if err != nil || v.Epoch != n {
		c.claim(claim, "the bundle does not have the verdict, which names the batch that was there", NotShown)
		return
	}
	once, there := c.wasThere(v)
	at, gone := goneAt(v, files)
	proof, result := once+"; the bundle has no listing without it from after its verdict", NotShown
	if gone {
		proof = fmt.Sprintf("%s; a listing of %s does not have %s", once, at.UTC().Format(time.RFC3339), v.Batch.Key)
	}
	if gone && there {
		result = Shown
	}
	c.claim(claim, proof, result)
}

// wasThere returns what shows that the epoch had a batch.
func (c *Checked) wasThere(v verdict.Verdict) (string, bool) {
	for _, b := range c.verified() {
		if b.Epoch == v.Epoch && b.SHA256 == v.Batch.SHA256 {
			return "here it is: " + c.describe(b), true
		}
	}
	for _, s := range c.Signed {
		if s.Error == "" && s.Epoch == v.Epoch && s.Digest == v.Digest {
			return fmt.Sprintf("key %s signed digest %s for epoch %d, so there was one", s.Key, s.Digest, v.Epoch), true
		}
	}
	return "the bundle has neither the batch nor a signed digest of its epoch", false
}

// goneAt returns when the batch of a verdict was not listed any more, by the findings.
func goneAt(v verdict.Verdict, files map[string][]byte) (time.Time, bool) {
	for file, data := range sorted(files) {
		var f evidence.Findings
		if !strings.HasPrefix(file, evidenceDir+"/"+evidence.Kind+"-") || json.Unmarshal(data, &f) != nil {
			continue
		}
		for _, l := range f.Listings {
			listed := slices.ContainsFunc(l.Objects, func(o fetcher.ListedObject) bool { return o.Key == v.Batch.Key })
			if l.Epoch == v.Epoch && l.Error == "" && l.More == 0 && !listed && l.At.After(v.FinishedAt) {
				return l.At, true
			}
		}
	}
	return time.Time{}, false
}

// hasWent reports whether evidence of changed names says of an epoch that its names are not listed
// any more, in place of which there are no others.
func hasWent(data []byte, epoch uint64) bool {
	var e struct {
		Changes []struct {
			Epoch  uint64
			Change string
		}
	}
	if json.Unmarshal(data, &e) != nil {
		return false
	}
	for _, c := range e.Changes {
		if c.Epoch == epoch {
			return c.Change == "went" // as jobs/chain writes it
		}
	}
	return false
}
