package summary

import (
	"context"
	"errors"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"

	"github.com/ktaudit/ktaudit/transparency"
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
	own, err := note.NewVerifier(k.Verdicts)
	if err != nil {
		w.Problem = "the key of the verdict log cannot be read"
		return
	}
	verifiers := []note.Verifier{own}
	for _, text := range k.Witnesses {
		if v, err := torchwood.NewCosignatureVerifier(text); err == nil {
			verifiers = append(verifiers, v)
		}
	}
	checked, err := note.Open(signed, note.VerifierList(verifiers...))
	if err != nil {
		w.Problem = "the checkpoint is not signed with the key that is configured"
		return
	}
	c, err := torchwood.ParseCheckpoint(checked.Text)
	if err != nil || c.Origin != own.Name() || c.N < 0 {
		w.Problem = "the checkpoint is of another log"
		return
	}
	ours, cosigned := false, map[string]time.Time{}
	for _, sig := range checked.Sigs {
		if sig.Name == own.Name() && sig.Hash == own.KeyHash() {
			ours = true
			continue
		}
		if at, err := torchwood.CosignatureTimestamp(sig); err == nil {
			cosigned[sig.Name] = time.Unix(at, 0).UTC()
		}
	}
	if !ours {
		w.Problem = "the checkpoint is not signed with the key that is configured"
		return
	}
	for _, v := range verifiers[1:] {
		w.Cosigners = append(w.Cosigners, Cosigner{v.Name(), cosigned[v.Name()]})
	}
	w.Size, w.Root = uint64(c.N), c.Hash.String()
	w.Enough = len(cosigned) >= max(k.Require, 1)
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
