package summary

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/transparency/tlogproof"
)

// Witnessed is what others have cosigned of this auditor's own log of verdicts.
type Witnessed struct {
	// First is the epoch of the log's entry 0, Size how many entries the checkpoint has, Root its
	// root in base64. Zero while there is none.
	First uint64 `json:"first,omitempty"`
	Size  uint64 `json:"size,omitempty"`
	Root  string `json:"root,omitempty"`
	// Cosigners are those whose cosignatures verify under the keys that are configured.
	Cosigners []Cosigner `json:"cosigners"`
	Require   int        `json:"require"`
	// Enough: it is signed by this auditor, and by as many witnesses as are required, of which
	// there is at least one.
	Enough bool `json:"enough"`
	// Newest is how many entries the newest checkpoint has that was signed here.
	Newest uint64 `json:"newest,omitempty"`
	// Problem is why the checkpoint does not count, if there is one.
	Problem string `json:"problem,omitempty"`
}

// Cosigner is a witness, and when it cosigned; the zero time if it has not.
type Cosigner struct {
	Name string    `json:"name"`
	At   time.Time `json:"at,omitzero"`
}

// readTlog reads the newest checkpoints. Cosignatures are verified: what is not counts for nothing.
func (r *Reader) readTlog(ctx context.Context, _ time.Time) error {
	r.tlog = Witnessed{Require: r.log.Keys.Require, Cosigners: []Cosigner{}}
	if r.log.Keys.Verdicts == "" {
		return nil
	}
	log := transparency.Open(r.store, r.log.Name, transparency.Verdicts)
	first, err := log.First(ctx)
	if errors.Is(err, transparency.ErrNoCheckpoint) {
		return nil
	}
	if err != nil {
		return err
	}
	newest, err := log.Newest(ctx)
	if errors.Is(err, transparency.ErrNoCheckpoint) {
		return nil
	}
	if err != nil {
		return err
	}
	r.tlog.First, r.tlog.Newest = first, uint64(max(newest.N, 0))
	witnessed, err := log.Witnessed(ctx)
	if errors.Is(err, transparency.ErrNoCheckpoint) {
		return nil
	}
	if err == nil {
		r.tlog.check(r.log.Keys, witnessed.Note)
	}
	return err
}

// check takes over what a signed checkpoint says, as far as signatures bear it out.
func (w *Witnessed) check(k Keys, signed []byte) {
	keys, err := tlogproof.Auditor(k.Verdicts, "")
	if err == nil {
		keys, err = keys.Former(k.FormerVerdicts...)
	}
	if err == nil {
		keys, err = keys.Require(k.Require, k.Witnesses)
	}
	if err != nil {
		w.Problem = "the keys that are configured cannot be used"
		return
	}
	checkpoint, err := keys.CheckCheckpoint(signed)
	if err != nil {
		w.Problem = "the checkpoint is not signed with the key that is configured"
		return
	}
	cosigned := map[string]time.Time{} // by key: two witnesses may have the same name
	for _, c := range checkpoint.Cosigned {
		cosigned[c.Key] = c.At
	}
	for _, key := range k.Witnesses {
		name, _, _ := strings.Cut(key, "+")
		w.Cosigners = append(w.Cosigners, Cosigner{Name: name, At: cosigned[key]})
	}
	w.Size, w.Root = uint64(max(checkpoint.Tree.N, 0)), checkpoint.Tree.Hash.String()
	w.Enough = w.Count() >= max(k.Require, 1)
}

// Count is how many witnesses have cosigned.
func (w Witnessed) Count() (n int) {
	for _, c := range w.Cosigners {
		if !c.At.IsZero() {
			n++
		}
	}
	return n
}
