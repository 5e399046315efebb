package transparency

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	// MaxAppend is how many entries are appended at once, whatever limit was given.
	MaxAppend = 1 << 14
	// plannedBytes is how many bytes of entries a plan has, but for the last entry.
	plannedBytes = 32 << 20
	// maxPlanBytes caps a plan, most of which is the list of absent epochs.
	maxPlanBytes = 512 << 10
)

// plan says how a log goes on: as generation Generation, from one tree to another. With verdicts,
// absences and events, which are created once, it determines every entry.
type plan struct {
	Schema     int    `json:"schema"`
	Namespace  string `json:"namespace"`
	Log        Kind   `json:"log"`
	Generation uint64 `json:"generation"`
	From       head   `json:"from"`
	To         head   `json:"to"`
	// Absent are the epochs among the new entries that have an absence for an entry, ascending. Of
	// an epoch that has a verdict, too, it says which counts.
	Absent []uint64 `json:"absent,omitempty"`
}

// head is a tree in JSON.
type head struct {
	Size int64     `json:"size"`
	Root tlog.Hash `json:"root"` // of the tree without entries: zeros
}

func headOf(t tlog.Tree) head  { return head{t.N, t.Hash} }
func (h head) tree() tlog.Tree { return tlog.Tree{N: h.Size, Hash: h.Root} }

func (p plan) encode() ([]byte, error) {
	data, err := json.Marshal(p)
	return append(data, '\n'), err
}

func decodePlan(data []byte) (plan, error) {
	var p plan
	if err := decode(data, &p, &p.Schema); err != nil {
		return plan{}, err
	}
	switch {
	case p.From.Size < 0 || p.To.Size > verdict.MaxEpoch || p.To.Size <= p.From.Size || p.To.Size-p.From.Size > MaxAppend:
		return plan{}, fmt.Errorf("a plan from size %d to %d", p.From.Size, p.To.Size)
	case p.From.Size == 0 && p.From.Root != tlog.Hash{}:
		return plan{}, errors.New("a plan from a tree without entries that has a root")
	case !slices.IsSorted(p.Absent) || len(slices.Compact(slices.Clone(p.Absent))) != len(p.Absent):
		return plan{}, errors.New("absent epochs out of order")
	}
	return p, nil
}

// decode reads an object of ours. Its schema is looked at before anything else; fields that a later
// program with the same schema added are skipped.
func decode(data []byte, v any, schema *int) error {
	err := json.Unmarshal(data, v)
	var header struct {
		Schema int `json:"schema"`
	}
	if err != nil && json.Unmarshal(data, &header) == nil {
		*schema = header.Schema // a field that does not fit may be that of a later schema
	}
	switch {
	case *schema > verdict.Schema:
		return fmt.Errorf("%w %d: this program knows schema %d", verdict.ErrNewerSchema, *schema, verdict.Schema)
	case err == nil && *schema != verdict.Schema:
		return fmt.Errorf("schema %d: this program knows schema %d", *schema, verdict.Schema)
	}
	return err
}

func (l *Log) planName(generation uint64) string {
	return l.name(plans) + "/" + auditstore.GenerationName(generation) + ".json"
}

// newestPlan returns the newest plan; one of generation 0 if there is none.
func (l *Log) newestPlan(ctx context.Context) (plan, error) {
	generation, data, err := l.files.ReadNewest(ctx, l.name(plans), ".json", maxPlanBytes)
	if err != nil || generation == 0 {
		return plan{}, err
	}
	return l.readPlan(data, generation)
}

func (l *Log) readPlan(data []byte, generation uint64) (plan, error) {
	p, err := decodePlan(data)
	if err == nil && (p.Namespace != l.namespace || p.Log != l.kind || p.Generation != generation) {
		err = fmt.Errorf("plan %d of %s of %q", p.Generation, p.Log, p.Namespace)
	}
	if err != nil && !errors.Is(err, verdict.ErrNewerSchema) {
		err = fmt.Errorf("%w: %w", auditstore.ErrCorrupt, err)
	}
	if err != nil {
		err = fmt.Errorf("%s of %s: %w", l.planName(generation), l.namespace, err)
	}
	return p, err
}
