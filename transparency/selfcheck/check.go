package selfcheck

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/transparency"
	"golang.org/x/mod/sumdb/tlog"
)

// FindingKind says what sort of thing is wrong with a log.
type FindingKind string

const (
	Changed      FindingKind = "changed"       // an object is not the one that the log has
	Missing      FindingKind = "missing"       // an object that the log has, or a part of the log, is gone
	WrongTile    FindingKind = "wrong_tile"    // a tile or an entry does not belong to the tree that was signed
	OlderState   FindingKind = "older_state"   // the log is smaller than what was signed before
	OtherHistory FindingKind = "other_history" // the log does not extend what was signed before
	Signature    FindingKind = "signature"     // a checkpoint is not signed as it must be
	// Cosignatures: nothing is on record that the configured witnesses have cosigned. The store was
	// changed, or witnesses were configured since, or they do not answer.
	Cosignatures FindingKind = "cosignatures"
)

// Finding is something that shows that the audit store was changed.
type Finding struct {
	Kind  FindingKind       `json:"kind"`
	Log   transparency.Kind `json:"log"`
	Epoch *uint64           `json:"epoch,omitempty"` // if it is about one
	Text  string            `json:"text"`
}

// Trust is what one of the logs is held against.
type Trust struct {
	// Own is what its checkpoints must satisfy: see transparency.Own. Nil leaves the log out.
	Own torchwood.Policy
	// Witnessed is what the newest checkpoint that was witnessed must satisfy: Own, and enough
	// cosigners. Nil: no witnesses are configured.
	Witnessed torchwood.Policy
	// Older are signed notes that somebody has kept. One that does not satisfy Own is a
	// transparency.ErrNotOurs and no finding.
	Older [][]byte
}

// Checker holds an audit store against the logs of its verdicts.
type Checker struct {
	Store            *auditstore.Store
	Namespace        string
	Verdicts, Events Trust
	// Full checks every entry and every tile, with all that they are made from. Otherwise it is the
	// newest entries, a few others by chance, and the seals, in a bounded number of requests.
	Full bool
	// Progress, if not nil, is called now and then with the entries that were checked, of so many.
	Progress func(done, total int64)
}

// Report is what a check came to.
type Report struct {
	Verdicts, Events tlog.Tree // that were signed, and all else was held against; zero: none
	Witnessed        tlog.Tree // the part of Verdicts that was witnessed
	Findings         []Finding // at most MaxFindings; none: all is well
}

// MaxFindings is how many findings a check stops at.
const MaxFindings = 100

// errEnoughFindings ends a check.
var errEnoughFindings = errors.New("enough was found")

// Check holds the store against its logs. An error is a fault, after which nothing follows from
// what was not found; what was found stands. transparency.ErrNoCheckpoint says that there is no
// verdict log yet, and nothing that speaks of one.
func (c Checker) Check(ctx context.Context) (r Report, err error) {
	var found findings
	defer func() { r.Findings = found.all }()
	verdicts, events := c.check(transparency.Verdicts, &found), c.check(transparency.Events, &found)
	r.Verdicts, r.Witnessed, err = verdicts.heads(ctx, c.Verdicts)
	if err == nil && c.Events.Own != nil {
		r.Events, _, err = events.heads(ctx, c.Events)
		if errors.Is(err, transparency.ErrNoCheckpoint) {
			err = nil
		}
	}
	verdicts.tree, events.tree = r.Verdicts, r.Events
	for _, part := range []func(context.Context) error{verdicts.entries, events.entries, events.seals} {
		if err == nil {
			err = part(ctx)
		}
	}
	if errors.Is(err, errEnoughFindings) {
		err = nil
	}
	return r, err
}

// check is that of one of the logs.
type check struct {
	Checker
	log    *transparency.Log
	report *findings
	tree   tlog.Tree
	first  uint64 // epoch of entry 0
}

// findings are those of both logs.
type findings struct {
	mu  sync.Mutex
	all []Finding
}

func (c Checker) check(kind transparency.Kind, f *findings) *check {
	return &check{Checker: c, log: transparency.Open(c.Store, c.Namespace, kind), report: f}
}

// find adds a finding. An error ends the check.
func (c *check) find(kind FindingKind, epoch *uint64, format string, args ...any) error {
	c.report.mu.Lock()
	defer c.report.mu.Unlock()
	if len(c.report.all) < MaxFindings {
		c.report.all = append(c.report.all, Finding{kind, c.log.Kind(), epoch, fmt.Sprintf(format, args...)})
	}
	if len(c.report.all) == MaxFindings {
		return errEnoughFindings
	}
	return nil
}

// anchor is a checkpoint that the newest one must extend.
type anchor struct {
	transparency.Checkpoint
	what string
}

// heads reads the newest checkpoint and holds it against those that came before it. It returns its
// tree, and what of it was witnessed; zero if its signature is wrong.
func (c *check) heads(ctx context.Context, trust Trust) (tree, witnessed tlog.Tree, err error) {
	var anchors []anchor
	for _, data := range trust.Older {
		older, err := transparency.ParseCheckpoint(data)
		if err == nil {
			err = older.Verify(trust.Own)
		}
		if err != nil {
			return tree, witnessed, fmt.Errorf("the checkpoint that was given: %w", err)
		}
		anchors = append(anchors, anchor{older, "the one that was given"})
	}
	// Others may append meanwhile. What is read later may be newer, so the newest is read last.
	if anchors, err = c.addMirror(ctx, trust, anchors); err != nil {
		return tree, witnessed, err
	}
	if anchors, err = c.addWitnessed(ctx, trust, anchors); err != nil {
		return tree, witnessed, err
	}
	newest, err := c.log.Newest(ctx)
	if errors.Is(err, transparency.ErrNoCheckpoint) && len(anchors) > 0 {
		return tree, witnessed, c.find(Missing, nil, "no checkpoint is on record, but there was one of size %d: %s", anchors[0].N, anchors[0].what)
	}
	if errors.Is(err, auditstore.ErrCorrupt) {
		return tree, witnessed, c.find(Signature, nil, "the newest checkpoint cannot be read: %v", err)
	}
	if err != nil {
		return tree, witnessed, err
	}
	if err := newest.Verify(trust.Own); err != nil {
		return tree, witnessed, c.find(Signature, nil, "the newest checkpoint, of size %d, is not signed by this auditor, or the key in the configuration is another one: %v", newest.N, err)
	}
	isWitnessed := func(a anchor) bool { return a.what == theWitnessed }
	if trust.Witnessed != nil && !slices.ContainsFunc(anchors, isWitnessed) {
		err := c.find(Cosignatures, nil, "nothing is on record that enough of the configured witnesses have cosigned: an older state of %d entries would look the same", newest.N)
		if err != nil {
			return newest.Tree, witnessed, err
		}
	}
	for _, a := range anchors {
		if isWitnessed(a) && a.N <= newest.N {
			witnessed = a.Tree
		}
		if err := c.extends(ctx, newest.Tree, a); err != nil {
			return newest.Tree, witnessed, err
		}
	}
	return newest.Tree, witnessed, nil
}

const theWitnessed = "the newest one that was witnessed"

func (c *check) addWitnessed(ctx context.Context, trust Trust, anchors []anchor) ([]anchor, error) {
	if trust.Witnessed == nil {
		return anchors, nil
	}
	w, err := c.log.Witnessed(ctx)
	if errors.Is(err, transparency.ErrNoCheckpoint) {
		return anchors, nil
	}
	if errors.Is(err, auditstore.ErrCorrupt) {
		return anchors, c.find(Signature, nil, "the newest witnessed checkpoint cannot be read: %v", err)
	}
	if err != nil {
		return anchors, err
	}
	if err := w.Verify(trust.Own); err != nil {
		return anchors, c.find(Signature, nil, "the newest checkpoint that is on record as witnessed, of size %d, is not signed by this auditor: %v", w.N, err)
	}
	if w.Verify(trust.Witnessed) != nil {
		return append(anchors, anchor{w, "the one on record as witnessed, which lacks cosignatures"}), nil
	}
	return append(anchors, anchor{w, theWitnessed}), nil
}

func (c *check) addMirror(ctx context.Context, trust Trust, anchors []anchor) ([]anchor, error) {
	data, err := c.log.File(ctx, "checkpoint")
	if errors.Is(err, auditstore.ErrNotFound) {
		return anchors, nil // it is written last
	}
	var m transparency.Checkpoint
	if err == nil {
		if m, err = transparency.ParseCheckpoint(data); err == nil {
			err = m.Verify(trust.Own)
		}
		if err != nil {
			return anchors, c.find(Signature, nil, "the file checkpoint is not signed by this auditor: %v", err)
		}
	}
	if errors.Is(err, auditstore.ErrCorrupt) {
		return anchors, c.find(Signature, nil, "the file checkpoint cannot be read: %v", err)
	}
	if err != nil {
		return anchors, err
	}
	return append(anchors, anchor{m, "the one in the file checkpoint"}), nil
}

// extends holds a tree against a checkpoint of before.
func (c *check) extends(ctx context.Context, tree tlog.Tree, a anchor) error {
	if a.N > tree.N {
		return c.find(OlderState, nil, "the newest checkpoint on record, of size %d, is older than %s, of size %d: an older state was put back", tree.N, a.what, a.N)
	}
	if a.N == tree.N && a.Hash != tree.Hash {
		return c.find(OtherHistory, nil, "the newest checkpoint on record, of size %d, is of another tree than %s", tree.N, a.what)
	}
	proof, err := c.log.Consistency(ctx, tree, a.N)
	if errors.Is(err, transparency.ErrInconsistent) || errors.Is(err, auditstore.ErrNotFound) {
		return c.find(WrongTile, nil, "the tiles do not prove that the newest checkpoint, of size %d, extends %s, of size %d: %v", tree.N, a.what, a.N, err)
	}
	if err != nil || a.N == 0 || a.N == tree.N {
		return err
	}
	if tlog.CheckTree(proof, tree.N, tree.Hash, a.N, a.Hash) != nil {
		return c.find(OtherHistory, nil, "the newest checkpoint, of size %d, does not extend %s, of size %d: verdicts that were signed were changed", tree.N, a.what, a.N)
	}
	return nil
}
