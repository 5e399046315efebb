package jobs

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/validator"
)

// BrokenChain is the reason of an alert on two verified epochs, one after the other, whose digests don't meet.
const BrokenChain validator.Reason = "broken_chain"

// chained says whether the second verdict goes on where the first ends. Of one that is missing or rejected nothing can be said.
func chained(first, second blobstore.Verdict) bool {
	return first.Outcome != blobstore.Verified || second.Outcome != blobstore.Verified || first.Digest == second.PreviousDigest
}

// broken is the evidence that two verified epochs are not of one log. A verdict is for ever, so whoever finds two of them at odds
// writes the same bytes.
type broken struct {
	Reason validator.Reason `json:"reason"`
	Epochs [2]brokenVerdict `json:"epochs"`
}

type brokenVerdict struct {
	Epoch          uint64 `json:"epoch"`
	PreviousDigest string `json:"previous_digest"`
	Digest         string `json:"digest"`
	BatchKey       string `json:"batch_key"`
	BatchSHA256    string `json:"batch_sha256"`
}

// tellBroken puts on record, at the second of two verified epochs, that they are not of one log: BrokenChain if the second doesn't
// go on where the first ends, DigestReused if it ends where the first did. Then it raises an alert. After a crash between the two,
// whoever looks next does both. Both are there once, however often they are found.
func (t teller) tellBroken(ctx context.Context, reason validator.Reason, first, second blobstore.Verdict) error {
	detail := fmt.Sprintf("epoch %d ends with digest %s, epoch %d begins with %s",
		first.Epoch, first.Digest, second.Epoch, second.PreviousDigest)
	if reason == DigestReused {
		detail = fmt.Sprintf("epoch %d ends with digest %s, and so did epoch %d", second.Epoch, second.Digest, first.Epoch)
	}
	t.log.Error().Uint64("epoch", second.Epoch).Str("detail", detail).Msg("verified epochs don't fit")
	found := broken{Reason: reason}
	for i, v := range []blobstore.Verdict{first, second} {
		found.Epochs[i] = brokenVerdict{v.Epoch, v.PreviousDigest, v.Digest, v.Batch.Key, v.Batch.SHA256}
	}
	data, err := json.Marshal(found)
	if err != nil {
		return err
	}
	p := piece{"broken-chain", data, ".json"}
	if err := t.store.PutEvidence(ctx, second.Namespace, second.Epoch, p.name(), p.data); err != nil {
		return err
	}
	return t.raise(ctx, alert.OfBrokenChain(second.Namespace, second.Epoch, string(reason), detail))
}
