package bundle

import "fmt"

// withdrawnPrefix is how the names of incidents begin that say that batches are gone from a log.
const withdrawnPrefix = "withdrawn."

// withdrawal returns what shows that there was the batch that is gone from the log.
func (c *Checked) withdrawal(epoch uint64) (string, bool) {
	const gone = "that the log does not list it any more is ktaudit's word"
	for _, b := range c.verified() {
		if b.Epoch == epoch {
			return fmt.Sprintf("here it is: %s; %s", c.describe(b), gone), true
		}
	}
	for _, s := range c.Signed {
		if s.Error == "" && s.Epoch == epoch {
			return fmt.Sprintf("key %d signed digest %s for epoch %d, so there was one; %s", s.KeyID, s.Digest, epoch, gone), true
		}
	}
	return "the bundle has neither the batch nor a signed digest of its epoch", false
}
