package timestamp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/time/rate"
)

// maxConflicts is how many other digests of an epoch are kept. Replicas at the same time may keep
// a few more.
const maxConflicts = 100

// burst and perSecond bound how many new conflicts of a log a replica puts on record, over all
// epochs: each is evidence and an alert.
const burst, perSecond = 1000, 1

// errFlood: the post is refused and has had no answer, so that it comes again or comes to nothing.
var errFlood = errors.New("the log posts more second digests than are put on record at a time")

// posted is the evidence that a digest was posted for an epoch which has another one signed.
type posted struct {
	Epoch  uint64          `json:"epoch"`
	Posted string          `json:"posted"` // 64 hexadecimal digits
	Signed json.RawMessage `json:"signed"` // the signed digest on record
	At     time.Time       `json:"at"`
	By     string          `json:"by,omitempty"`
}

// Conflict returns what puts on record that a log posted two digests for an epoch: for
// auditor.Config.
func Conflict(to incident.Recorder, namespace string) func(ctx context.Context, c auditor.Conflict) error {
	return (&conflicts{to: to, namespace: namespace, fresh: rate.NewLimiter(perSecond, burst)}).record
}

type conflicts struct {
	to        incident.Recorder
	namespace string
	fresh     *rate.Limiter

	mu   sync.Mutex
	full uint64 // the last epoch that more digests were posted for than are kept
}

// record is durable when it returns. A crash between evidence and incident is repaired when the log
// posts the digest again, which it must: it has had no answer.
func (c *conflicts) record(ctx context.Context, k auditor.Conflict) error {
	if err := verdict.CheckDigest(k.Posted); err != nil {
		return err
	}
	kept, err := c.to.Store.EvidenceNames(ctx, c.namespace, k.Epoch)
	if err != nil {
		return err
	}
	kind := "posted-" + k.Posted
	if !slices.ContainsFunc(kept, func(name string) bool { return strings.HasPrefix(name, kind) }) {
		if countOf("posted-", kept) >= maxConflicts {
			c.logFull(k.Epoch)
			return nil // the incidents of the others say enough
		}
		if !c.fresh.Allow() {
			return errFlood
		}
		if err := c.keep(ctx, kind, k); err != nil {
			return err
		}
	}
	a, err := c.alert(k)
	if err != nil {
		return err
	}
	return c.to.Raise(ctx, a)
}

// keep may be called by two replicas at the same time: the digest then stands there twice.
func (c *conflicts) keep(ctx context.Context, kind string, k auditor.Conflict) error {
	c.to.Log.Error().Uint64("epoch", k.Epoch).Str("posted", k.Posted).Str("by", k.By).Msg("a log posted a second digest for an epoch")
	e, err := incident.EvidenceOf(kind, posted{Epoch: k.Epoch, Posted: k.Posted, Signed: k.Signed, At: time.Now().UTC(), By: k.By})
	if err != nil {
		return err
	}
	return c.to.PutEvidence(ctx, c.namespace, k.Epoch, e)
}

// countOf is how many names begin with a prefix.
func countOf(prefix string, names []string) (n int) {
	for _, name := range names {
		if strings.HasPrefix(name, prefix) {
			n++
		}
	}
	return n
}

// alert is the same for whoever is posted the same digest, and another for each digest: who
// acknowledges one has not acknowledged the next.
func (c *conflicts) alert(k auditor.Conflict) (alert.Alert, error) {
	s, err := signature.Parse(k.Signed)
	if err != nil {
		return alert.Alert{}, err
	}
	signed := hex.EncodeToString(s.Digest[:])
	return alert.Alert{
		Kind: alert.Equivocation, Namespace: c.namespace, Epoch: k.Epoch, Reason: string(verdict.Equivocation),
		Incident: fmt.Sprintf("%s/%012d%s%.16x", alert.Equivocation, k.Epoch, incident.Posted, sha256.Sum256([]byte(signed+k.Posted))),
		Summary:  fmt.Sprintf("%s posted two digests for epoch %d", c.namespace, k.Epoch),
		Detail:   fmt.Sprintf("%s is signed, and %s was posted later", signed, k.Posted),
	}, nil
}

// logFull says once that no more is kept of an epoch.
func (c *conflicts) logFull(epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full == epoch {
		return
	}
	c.full = epoch
	c.to.Log.Error().Uint64("epoch", epoch).Int("kept", maxConflicts).
		Msg("a log posts more digests for an epoch than are kept as evidence: further ones are refused and not recorded")
}
