package summary

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/jobs/crosscheck"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
)

// RecordReads is what an epoch costs: its verdict, its neighbours', its overruling, its seal, its
// evidence, its signed digest and, of each auditor, that.
const RecordReads = 8

// Record is what is on record of an epoch.
type Record struct {
	Namespace string `json:"namespace"`
	Epoch     uint64 `json:"epoch"`
	// Verdict is the one that counts; nil if there is none yet.
	Verdict   *verdict.Verdict       `json:"verdict,omitempty"`
	Overruled *report.OverruledEpoch `json:"overruled,omitempty"`
	// Unreadable: there is a verdict, and it cannot be read.
	Unreadable bool     `json:"unreadable,omitempty"`
	Tiers      []string `json:"tiers"`
	// Before and After are the neighbours.
	Before Neighbour `json:"before"`
	After  Neighbour `json:"after"`
	// Sealed is whether the shard is sealed, SealDiffers that the seal is of another verdict.
	Sealed      bool `json:"sealed"`
	SealDiffers bool `json:"seal_differs,omitempty"`
	// Signed is the signed digest, as it was given to the log.
	Signed   *signature.SignedDigest `json:"signed,omitempty"`
	Auditors []AuditorDigest         `json:"auditors"`
	Evidence []string                `json:"evidence"`
	// Index is the verdict's place in the verdict log, as far as a checkpoint is signed: there is a
	// proof. Cosigned: under one that enough witnesses cosigned.
	Index     *uint64    `json:"index,omitempty"`
	Cosigned  bool       `json:"cosigned"`
	Incidents []Incident `json:"incidents"`
	Checked   []string   `json:"checked"`
	Unchecked []string   `json:"not_checked"`
	Commands  []string   `json:"commands"`

	Stored []byte `json:"-"` // the first verdict's object: what the verdict log has
}

// Neighbour is the epoch before or after.
type Neighbour struct {
	Epoch  uint64 `json:"epoch"`
	Digest string `json:"digest,omitempty"` // of the border between the two; empty: it has none on record
	// Link is linked, broken, or unknown, where one of the two has no verdict or was rejected.
	Link string `json:"link"`
}

// AuditorDigest is what another auditor signed for the epoch.
type AuditorDigest struct {
	URL    string `json:"url"`
	Digest string `json:"digest"`
	Agrees bool   `json:"agrees"`
}

// ReadRecord reads what is on record of an epoch, for RecordReads requests and one for each other
// auditor; auditstore.ErrNotFound if nothing is.
func ReadRecord(ctx context.Context, store *auditstore.Store, s *Summary, epoch uint64) (*Record, error) {
	name := s.Log.Name
	v := &Record{Namespace: name, Epoch: epoch, Tiers: []string{}, Auditors: []AuditorDigest{}, Evidence: []string{}, Incidents: []Incident{}}
	for _, t := range s.Tiers {
		if t.Count(epoch, epoch) > 0 {
			v.Tiers = append(v.Tiers, t.Name)
		}
	}
	stored, err := store.VerdictBytes(ctx, name, epoch)
	switch {
	case errors.Is(err, auditstore.ErrNotFound):
	case errors.Is(err, auditstore.ErrCorrupt):
		v.Unreadable = true
	case err != nil:
		return nil, err
	default:
		if err := v.readVerdict(ctx, store, stored); err != nil {
			return nil, err
		}
	}
	if v.Verdict == nil && !v.Unreadable && len(v.Tiers) == 0 {
		return nil, auditstore.ErrNotFound
	}
	if err := v.readNeighbours(ctx, store); err != nil {
		return nil, err
	}
	if s.Tiers[Signed].Count(epoch, epoch) > 0 {
		data, err := auditor.ReadSigned(ctx, store, name, epoch)
		if err == nil {
			if signed, err := signature.Parse(data); err == nil {
				v.Signed = &signed
			}
		} else if !errors.Is(err, auditor.ErrNotSigned) {
			return nil, err
		}
	}
	names, err := store.EvidenceNames(ctx, name, epoch)
	if err != nil {
		return nil, err
	}
	v.Evidence = append(v.Evidence, names...)
	if err := v.readAuditors(ctx, store, s); err != nil {
		return nil, err
	}
	v.place(s)
	v.conclude(s)
	return v, nil
}

// readVerdict reads what became of the first verdict, and holds it against its seal.
func (v *Record) readVerdict(ctx context.Context, store *auditstore.Store, stored []byte) error {
	first, err := verdict.Decode(stored)
	if err != nil || first.Namespace != v.Namespace || first.Epoch != v.Epoch {
		v.Unreadable = true
		return nil
	}
	v.Stored, v.Verdict = stored, &first
	o, err := store.Overruling(ctx, v.Namespace, v.Epoch)
	switch {
	case err == nil:
		v.Verdict, v.Overruled = &o.Verdict, report.OverruledBy(o)
	case !errors.Is(err, auditstore.ErrNotFound):
		return err
	}
	seal, _, err := store.Seal(ctx, v.Namespace, v.Epoch/verdict.EpochsPerShard)
	if errors.Is(err, auditstore.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	v.Sealed = true
	hash := sha256.Sum256(stored)
	v.SealDiffers = seal.Verdicts[v.Epoch-seal.From] != hex.EncodeToString(hash[:])
	return nil
}

func (v *Record) readNeighbours(ctx context.Context, store *auditstore.Store) error {
	v.Before, v.After = Neighbour{Epoch: v.Epoch - 1, Link: "unknown"}, Neighbour{Epoch: v.Epoch + 1, Link: "unknown"}
	around := []uint64{v.Epoch + 1}
	if v.Epoch > 1 {
		around = append(around, v.Epoch-1)
	}
	verdicts, err := report.ReadReadable(ctx, store, v.Namespace, around)
	if err != nil {
		return err
	}
	var own verdict.Verdict
	if v.Verdict != nil {
		own = *v.Verdict
	}
	words := map[verdict.Link]string{verdict.Unknown: "unknown", verdict.Linked: "linked", verdict.Broken: "broken"}
	if before, ok := verdicts[v.Epoch-1]; ok {
		v.Before.Digest, v.Before.Link = before.Digest, words[verdict.Between(before, own)]
	}
	if after, ok := verdicts[v.Epoch+1]; ok {
		v.After.Digest, v.After.Link = after.PreviousDigest, words[verdict.Between(own, after)]
	}
	return nil
}

func (v *Record) readAuditors(ctx context.Context, store *auditstore.Store, s *Summary) error {
	for _, a := range s.Log.Auditors {
		data, err := crosscheck.Compared(ctx, store, v.Namespace, a.ID, v.Epoch)
		if auditstore.IsLost(err) {
			continue
		}
		if err != nil {
			return err
		}
		if signed, err := signature.Parse(data); err == nil {
			digest := hex.EncodeToString(signed.Digest[:])
			v.Auditors = append(v.Auditors, AuditorDigest{a.URL, digest, v.Verdict != nil && v.Verdict.Digest == digest})
		}
	}
	return nil
}

// place says where the verdict is in the verdict log.
func (v *Record) place(s *Summary) {
	w := s.Witnessed
	if w.Newest == 0 || v.Epoch < w.First || v.Epoch-w.First >= max(w.Newest, w.Size) {
		return
	}
	index := v.Epoch - w.First
	v.Index, v.Cosigned = &index, w.Enough && index < w.Size
}

// conclude says what was checked and what was not, which follows from the rest.
func (v *Record) conclude(s *Summary) {
	checked := func(format string, args ...any) { v.Checked = append(v.Checked, fmt.Sprintf(format, args...)) }
	unchecked := func(format string, args ...any) { v.Unchecked = append(v.Unchecked, fmt.Sprintf(format, args...)) }
	for _, o := range s.Open.In(v.Epoch, v.Epoch).Open {
		if o.From > 0 && len(v.Incidents) < 20 {
			v.Incidents = append(v.Incidents, s.incident(o))
		}
	}
	switch r := v.Verdict; {
	case r == nil:
		unchecked("the batch: the epoch has no verdict yet")
	case r.Outcome == verdict.Verified:
		checked("the log published one batch for the epoch, of these bytes: SHA-256 %s", r.Batch.SHA256)
		checked("its %s unchanged nodes are the tree with the digest before the epoch", Number(r.Unchanged))
		checked("with the %s inserted ones they are the tree with the digest after it, and none of them replaces another: the tree only grew", Number(r.Inserted))
	case r.Reason == verdict.BatchTooLarge:
		unchecked("the batch: it is over the limits set here")
	default:
		checked("the batch was fetched twice, and was refused both times: %s", r.Reason)
	}
	if v.Verdict != nil && v.Verdict.Signature.Status == "verified" {
		checked("the log's digest was signed with a key that is trusted here")
	} else if v.Verdict != nil {
		unchecked("a signature on the digest: no key of a signer is trusted here for this epoch")
	}
	for _, n := range []struct {
		Neighbour
		where string
	}{{v.Before, "it continues the epoch before"}, {v.After, "the epoch after continues it"}} {
		switch n.Link {
		case "linked":
			checked("%s", n.where)
		case "broken":
			checked("whether %s: it does not", n.where)
		default:
			unchecked("whether %s: one of the two has no verdict, or was rejected", n.where)
		}
	}
	for _, a := range v.Auditors {
		if a.Agrees {
			checked("%s signed the same digest", a.URL)
		} else {
			checked("whether %s signed the same digest: it did not, or there is none here", a.URL)
		}
	}
	if len(v.Auditors) == 0 {
		unchecked("whether others were shown the same digest: no other auditor's signature was compared")
	}
	if slices.Contains(v.Tiers, "witnessed") {
		checked("witnesses cosigned the log of verdicts that has this place")
	} else {
		unchecked("whether this auditor tells everybody the same: its verdict is in no log that witnesses have cosigned")
	}
	unchecked("what the keys are: a proof shows that none was changed or removed, and not whom they belong to")
	v.commands(s.Log)
}

// commands are what the reader runs on a machine of his own.
func (v *Record) commands(l Log) {
	switch {
	case v.Verdict == nil:
	case l.Preset != "":
		v.Commands = append(v.Commands, fmt.Sprintf("ktaudit verify --preset %s --epoch %d", l.Preset, v.Epoch))
	case strings.HasPrefix(l.LogDirectory, "https://") && v.Verdict.Batch.Key != "":
		v.Commands = append(v.Commands, fmt.Sprintf("ktaudit verify --configuration %s --epoch %d s3list+%s", l.Configuration, v.Epoch, l.LogDirectory))
	}
	if v.Index != nil {
		command := "ktaudit check proof.tlog-proof --auditor-key " + l.Keys.Verdicts
		for _, w := range l.Keys.Witnesses {
			command += " --witness " + w
		}
		switch {
		case !v.Cosigned:
			command += " --require 0" // not yet
		case l.Keys.Require > 0:
			command += fmt.Sprintf(" --require %d", l.Keys.Require)
		}
		v.Commands = append(v.Commands, command)
	}
}

// Outcome is the verdict in a word or two.
func (v *Record) Outcome() string {
	switch {
	case v.Unreadable:
		return "its verdict cannot be read"
	case v.Verdict == nil:
		return "no verdict yet"
	case v.SealDiffers:
		return "its verdict is not the one that was sealed"
	case v.Verdict.Outcome == verdict.Verified:
		return "verified"
	}
	return "rejected: " + string(v.Verdict.Reason)
}

// State is the class of what the epoch comes to: good only if it is verified and nothing
// contradicts that.
func (v *Record) State() State {
	critical := slices.ContainsFunc(v.Incidents, func(i Incident) bool { return i.Severity == "critical" && !i.Acknowledged })
	switch {
	case v.Verdict != nil && v.Verdict.Outcome != verdict.Verified, v.SealDiffers, v.Before.Link == "broken", v.After.Link == "broken", critical:
		return Wrong
	case v.Unreadable:
		return Unread
	case v.Verdict == nil:
		return Empty
	case len(v.Incidents) > 0:
		return Warning
	}
	return Good
}
