package witnessing

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/transparency/selfcheck"
	"golang.org/x/mod/sumdb/tlog"
)

// maxOpen is how many incidents of a kind may wait to be acknowledged before no more are raised,
// whatever a witness or a damaged store shows: one says what many do.
const maxOpen = 20

// maxOpenOfWitness is how many of them may be about what one witness knows of one log. A witness
// that names another tree each time raises no more, and keeps no other's from being raised.
const maxOpenOfWitness = 3

// maxFound is how many findings stand in one piece of evidence.
const maxFound = 100

// Changed is the evidence that an audit store does not hold what its verdict log signed. It has no
// time: whoever finds the same writes the same.
type Changed struct {
	Log string `json:"log"` // verdicts or events
	// Size and Root are those of the signed tree that the store was held against.
	Size int64  `json:"size"`
	Root string `json:"root"`
	// Found says what is wrong, the first hundred; More how much more is.
	Found []string `json:"found"`
	More  int      `json:"more,omitempty"`
	// Newest and Witnessed are the newest checkpoints on record, as they are there.
	Newest    string `json:"newest_checkpoint,omitempty"`
	Witnessed string `json:"witnessed_checkpoint,omitempty"`
}

// What a witness knows.
const (
	OtherHistory = "other_history" // of a size, another root
	LargerTree   = "larger_tree"
)

// Disagreement is the evidence that a witness knows another verdict log than is on record here. The
// checkpoint speaks for itself; what the witness knows is its word.
type Disagreement struct {
	Log     string `json:"log"` // verdicts or events
	Witness string `json:"witness"`
	URL     string `json:"url"`
	Key     string `json:"key"`
	Knows   string `json:"knows"` // OtherHistory or LargerTree
	Size    int64  `json:"size"`  // of the tree that it has cosigned
	// Checkpoint is the one that it was asked about, Proof the one that was sent: that it extends
	// the witness's size.
	Checkpoint string   `json:"checkpoint"`
	Proof      []string `json:"proof,omitempty"`

	Tree tlog.Tree `json:"-"` // of the checkpoint
}

// String says what the witness knows, in words.
func (d Disagreement) String() string {
	what := fmt.Sprintf("knows another history: its tree of %d entries is not that of the store", d.Size)
	if d.Knows == LargerTree {
		what = fmt.Sprintf("has cosigned %d entries, and the store has no more than %d", d.Size, d.Tree.N)
	}
	return fmt.Sprintf("witness %s %s", d.Witness, what)
}

// RaiseChanged puts on record that the store does not hold what a log signed, and raises the
// incident.
func RaiseChanged(ctx context.Context, incidents incident.Recorder, namespace string, log *transparency.Log, c Changed) error {
	if newest, err := log.Newest(ctx); err == nil {
		c.Newest = string(newest.Note)
	}
	if witnessed, err := log.Witnessed(ctx); err == nil {
		c.Witnessed = string(witnessed.Note)
	}
	if len(c.Found) > maxFound {
		c.Found, c.More = c.Found[:maxFound], c.More+len(c.Found)-maxFound
	}
	return raise(ctx, incidents, namespace, log, "verdict-log-changed", c, "", alert.Alert{
		Kind:     alert.VerdictLogChanged,
		Incident: fmt.Sprintf("%s/%s-%.4x", alert.VerdictLogChanged, c.Log, sha256.Sum256(fmt.Append(nil, c.Size, c.Root, c.Found))),
		Summary:  fmt.Sprintf("the audit store of %s does not hold what its log of %s signed", namespace, c.Log),
		Detail:   strings.Join(c.Found, "\n"),
	})
}

// RaiseFindings is RaiseChanged for what checking both logs found.
func RaiseFindings(ctx context.Context, incidents incident.Recorder, namespace string, verdicts, events Log, r selfcheck.Report) error {
	var errs []error
	for _, log := range []Log{verdicts, events} {
		tree := r.Verdicts
		if log.Kind() == transparency.Events {
			tree = r.Events
		}
		c := Changed{Log: string(log.Kind()), Size: tree.N, Root: tree.Hash.String()}
		for _, f := range r.Findings {
			if f.Log == log.Kind() && !isNoChange(f) {
				c.Found = append(c.Found, f.Text)
			}
		}
		if len(c.Found) > 0 {
			errs = append(errs, RaiseChanged(ctx, incidents, namespace, log.Log, c))
		}
	}
	return errors.Join(errs...)
}

// isNoChange reports whether a finding shows nothing against the store: cosignatures lack also
// where other witnesses were configured since. They are asked for again, and missed after an hour.
func isNoChange(f selfcheck.Finding) bool { return f.Kind == selfcheck.Cosignatures }

// RaiseDisagreement puts on record what a witness knows, and raises the incident. That it knows it
// of another tree of ours is another incident.
func RaiseDisagreement(ctx context.Context, incidents incident.Recorder, namespace string, log *transparency.Log, d Disagreement) error {
	from := fmt.Sprintf("%s/%s/%s-", alert.WitnessDisagrees, d.Log, text.HostID(d.URL))
	return raise(ctx, incidents, namespace, log, "witness-disagrees", d, from, alert.Alert{
		Kind:     alert.WitnessDisagrees,
		Incident: from + fmt.Sprintf("%.4x", sha256.Sum256(fmt.Append(nil, d.Key, d.Knows, d.Size, d.Tree))),
		Summary:  fmt.Sprintf("%s, by the log of %s of %s", d, d.Log, namespace),
		Detail:   "checkpoint that it was asked about:\n" + d.Checkpoint,
	})
}

// raise records evidence at the last epoch of the log, and then the incident: after a crash between
// the two, whoever finds the same does both again, and each is there once. Names of incidents on
// the word of one witness begin with from; it is empty for others.
func raise(ctx context.Context, incidents incident.Recorder, namespace string, log *transparency.Log, kind string, evidence any, from string, a alert.Alert) error {
	a.Namespace, a.Epoch = namespace, lastEpoch(ctx, log)
	if known, err := incidents.IsRecorded(ctx, a); known || err != nil {
		return err
	}
	list, err := incident.ReadList(ctx, incidents.Store, namespace)
	if err != nil {
		return err
	}
	if from != "" {
		if openFrom(list, from) >= maxOpenOfWitness {
			incidents.Log.Warn().Msg(a.Summary + "; several incidents say so, and wait to be acknowledged")
			return nil
		}
	} else if list.Unacknowledged()[a.Kind] >= maxOpen {
		return fmt.Errorf("%s: %d incidents of this kind wait to be acknowledged, and no more are raised (ktaudit incidents)", a.Summary, maxOpen)
	}
	incidents.Log.Error().Str("detail", a.Detail).Msg(a.Summary)
	e, err := incident.EvidenceOf(kind, evidence)
	if err != nil {
		return err
	}
	if err := incidents.PutEvidence(ctx, namespace, a.Epoch, e); err != nil {
		return err
	}
	return incidents.Raise(ctx, a)
}

// openFrom counts the incidents that nobody has acknowledged and whose names begin with from.
func openFrom(list incident.List, from string) (n int) {
	for _, o := range list.Open {
		if !o.Acknowledged && strings.HasPrefix(o.Incident, from) {
			n++
		}
	}
	return n
}

// lastEpoch is the epoch under which evidence on a log stands: that of its last entry, or the first
// that there is. A log that cannot be read has it at epoch 1.
func lastEpoch(ctx context.Context, log *transparency.Log) uint64 {
	first, err := log.First(ctx)
	if err != nil {
		return 1
	}
	newest, err := log.Newest(ctx)
	if err != nil || newest.N == 0 {
		return max(1, first)
	}
	return max(1, first+uint64(newest.N)-1)
}
