package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/jobs/frontier"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// maxEvidenceShown is how many pieces of evidence on an epoch are listed.
const maxEvidenceShown = 100

type showCmd struct {
	storedFlags
	logDirectoryFlag
	strictFlag
	Epoch uint64 `arg:"" name:"epoch" help:"Epoch to show."`
}

func (showCmd) Help() string {
	return `Shows all that is known of one epoch: its verdict, digests and batch, how it continues its neighbours, its stretch and seal, its evidence, the
incidents on it, and what the log lists for it now, if the log directory is known.

Exits with 1 if the epoch has no verdict or is rejected and nobody has acknowledged that, if a neighbour, the seal or the log
contradicts its verdict, or if an incident on it is open; with --strict also if all that was acknowledged; with 2 if the log cannot
be asked. A batch that the log has written anew since is shown and is not wrong by itself: its bytes may be the same.

Examples:
  ktaudit show 1200017 --config ktaudit.yaml --namespace whatsapp.key-transparency.v2
  ktaudit show 12 --namespace example --audit-store ./audit --log-directory ./log
  ktaudit show 12 --namespace example --audit-store ./audit --json`
}

// Run shows the epoch.
func (c showCmd) Run(ctx context.Context, a *app) (err error) {
	_, n, err := c.log("show")
	if err != nil {
		return err
	}
	if err := checkEpochs([]uint64{c.Epoch}); err != nil {
		return err
	}
	if c.LogDirectory != "" {
		n.LogDirectory = c.LogDirectory
	}
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	s, err := readEpoch(ctx, store, n.Namespace, c.Epoch)
	if err == nil {
		err = s.readStretch(ctx, store, n)
	}
	if err != nil {
		return err
	}
	unanswered := s.askLog(ctx, a, n)
	s.findWrong(c.Strict)
	if a.json {
		err = a.object(s)
	} else {
		a.printEpoch(s)
	}
	switch {
	case err != nil:
		return err
	case len(s.Wrong) > 0:
		return errFound
	}
	return unanswered
}

// shownEpoch is all that is known of an epoch.
type shownEpoch struct {
	Namespace string `json:"namespace"`
	Epoch     uint64 `json:"epoch"`
	// Verdict is the one that counts, the newest; nil if there is none.
	Verdict *verdict.Verdict `json:"verdict,omitempty"`
	// Overruling is what the verdict came of, if the epoch was overruled.
	Overruling *report.OverruledEpoch `json:"overruled,omitempty"`
	// Before and After are how the epoch and its neighbours hang together: linked, broken or
	// unknown.
	Before   string          `json:"before"`
	After    string          `json:"after"`
	Seal     string          `json:"seal"` // none, holds, or differs
	Stretch  *report.Stretch `json:"stretch,omitempty"`
	Evidence []string        `json:"evidence,omitempty"`
	// Acknowledged: somebody has dealt with the rejection.
	Acknowledged bool            `json:"acknowledged,omitempty"`
	Open         []incident.Open `json:"incidents,omitempty"`
	Log          *listedEpoch    `json:"log,omitempty"` // nil: it was not asked
	LogNote      string          `json:"log_note,omitempty"`
	// Wrong is why the exit status is 1.
	Wrong []string `json:"wrong,omitempty"`
}

// listedEpoch is what the log lists for an epoch now.
type listedEpoch struct {
	Published      bool      `json:"published"`
	Key            string    `json:"key,omitempty"`
	PreviousDigest string    `json:"previous_digest,omitempty"`
	Digest         string    `json:"digest,omitempty"`
	StoredBytes    int64     `json:"stored_bytes,omitempty"`
	ModifiedAt     time.Time `json:"modified_at,omitzero"`
	ETag           string    `json:"etag,omitempty"`
	// Rewritten: the batch was written since it was judged, by its time or ETag. Its bytes may be
	// the same: ktaudit reverify tells.
	Rewritten bool `json:"rewritten,omitempty"`
	// Fault is why the names under the epoch are no batch; it may quote the log.
	Fault string `json:"fault,omitempty"`
}

// readEpoch reads what is on record of an epoch.
func readEpoch(ctx context.Context, store *auditstore.Store, namespace string, epoch uint64) (*shownEpoch, error) {
	s := &shownEpoch{Namespace: namespace, Epoch: epoch, Before: "unknown", After: "unknown", Seal: "none"}
	v, hash, err := store.VerdictObject(ctx, namespace, epoch)
	switch {
	case err == nil:
		s.Verdict = &v
	case !errors.Is(err, auditstore.ErrNotFound):
		return nil, err
	}
	overruled, err := report.ReadOverruled(ctx, store, namespace)
	if err != nil {
		return nil, err
	}
	if s.Verdict != nil { // the seal is over the first one
		newest := overruled.Newest(v)
		s.Verdict, s.Overruling = &newest, overruled.Of(epoch)
	}
	around, err := report.ReadAround(ctx, store, namespace, []uint64{epoch})
	if err != nil {
		return nil, err
	}
	for neighbour, v := range around {
		around[neighbour] = overruled.Newest(v)
	}
	s.Before, s.After = linkBetween(around, epoch-1), linkBetween(around, epoch)
	seal, _, err := store.Seal(ctx, namespace, epoch/verdict.EpochsPerShard)
	switch {
	case errors.Is(err, auditstore.ErrNotFound):
	case err != nil:
		return nil, err
	case epoch < seal.From || epoch > seal.To:
	case s.Verdict != nil && seal.Verdicts[epoch-seal.From] == hex.EncodeToString(hash[:]):
		s.Seal = "holds"
	default:
		s.Seal = "differs"
	}
	if s.Evidence, err = store.EvidenceKeys(ctx, namespace, epoch, maxEvidenceShown); err != nil {
		return nil, err
	}
	list, err := incident.ReadList(ctx, store, namespace)
	if err != nil {
		return nil, err
	}
	if v := s.Verdict; v != nil && v.Outcome == verdict.Rejected {
		if s.Acknowledged, err = list.Acknowledged(ctx, report.RejectionIncident(*v, s.Overruling)); err != nil {
			return nil, err
		}
	}
	for _, o := range list.Open {
		if o.From <= epoch && epoch <= o.To {
			s.Open = append(s.Open, o)
		}
	}
	return s, nil
}

// readStretch finds the stretch of verified epochs that the epoch is in, if it is in one.
func (s *shownEpoch) readStretch(ctx context.Context, store *auditstore.Store, n config.Namespace) error {
	anchor, err := anchorFlag{n.Anchor}.anchor()
	if err != nil {
		return err
	}
	status, err := report.ReadStatus(ctx, store, n.Namespace, anchor, n.First, 0)
	for _, stretch := range status.Stretches {
		if stretch.From <= s.Epoch && s.Epoch <= stretch.To {
			s.Stretch = &stretch
		}
	}
	return err
}

// linkBetween says how an epoch and the next one hang together, as far as both are verified.
func linkBetween(verdicts map[uint64]verdict.Verdict, epoch uint64) string {
	switch verdict.Between(verdicts[epoch], verdicts[epoch+1]) {
	case verdict.Linked:
		return "linked"
	case verdict.Broken:
		return "broken"
	}
	return "unknown"
}

// askLog asks the log for what it lists now. The error says that it could not be asked.
func (s *shownEpoch) askLog(ctx context.Context, a *app, n config.Namespace) error {
	if n.LogDirectory == "" {
		s.LogNote = "not asked: give --log-directory"
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askLogTimeout)
	defer cancel()
	listed, err := locateNow(ctx, a, n, s.Epoch)
	if err != nil {
		s.LogNote = fmt.Sprintf("the log cannot be asked: %v", err)
		return fmt.Errorf("epoch %d of %s: %s", s.Epoch, s.Namespace, s.LogNote)
	}
	if v := s.Verdict; v != nil && v.Batch.SHA256 != "" && listed.Key == v.Batch.Key && listed.StoredBytes == v.Batch.StoredBytes {
		listed.Rewritten = !v.Batch.IsListedAs(verdict.Batch{
			Key: listed.Key, StoredBytes: listed.StoredBytes, ModifiedAt: listed.ModifiedAt, ETag: listed.ETag,
		})
	}
	s.Log = &listed
	return nil
}

func locateNow(ctx context.Context, a *app, n config.Namespace, epoch uint64) (l listedEpoch, err error) {
	bucket, err := a.openOfLog(ctx, n.Namespace, n.LogDirectory, false)
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, bucket.Close()) }()
	f := fetcher.New(bucket, fetcher.Options{Present: blobstore.Present(n.LogDirectory)})
	object, err := f.Locate(ctx, epoch)
	switch {
	case err == nil:
		return listedEpoch{
			Published: true, Key: object.Key, PreviousDigest: object.Name.PreviousDigest.String(), Digest: object.Name.Digest.String(),
			StoredBytes: object.Size, ModifiedAt: object.ModTime.UTC(), ETag: object.Listed().ETag,
		}, nil
	case errors.Is(err, fetcher.ErrNotPublished):
		return listedEpoch{}, nil
	}
	if answer, locateErr := frontier.Locate(ctx, f, epoch); locateErr == nil && answer.Published {
		return listedEpoch{Published: true, Fault: err.Error()}, nil
	}
	return l, err
}

// findWrong finds why the exit status is 1.
func (s *shownEpoch) findWrong(strict bool) {
	v := s.Verdict
	wrong := func(is bool, format string, args ...any) {
		if is {
			s.Wrong = append(s.Wrong, fmt.Sprintf(format, args...))
		}
	}
	wrong(v == nil, "it has no verdict")
	wrong(v != nil && v.Outcome == verdict.Rejected && (strict || !s.Acknowledged), "it is rejected")
	wrong(s.Before == "broken", "it does not continue epoch %d, though both are verified", s.Epoch-1)
	wrong(s.After == "broken", "epoch %d does not continue it, though both are verified", s.Epoch+1)
	wrong(s.Seal == "differs", "its verdict is not the one that was sealed")
	for _, o := range s.Open {
		wrong(o.Wrong() && (strict || !o.Acknowledged), "incident %s is open", o.Incident)
	}
	if l := s.Log; l != nil && v != nil {
		isVerified := v.Outcome == verdict.Verified
		wrong(isVerified && !l.Published, "the log lists it no more; that alone proves nothing")
		wrong(isVerified && l.Fault != "", "the log lists other names for it now")
		wrong(l.Published && l.Fault == "" && v.Digest != "" && (l.Digest != v.Digest || l.PreviousDigest != v.PreviousDigest),
			"the log lists other digests for it now")
		wrong(isVerified && l.Published && l.Fault == "" && l.Key == v.Batch.Key && l.StoredBytes != v.Batch.StoredBytes,
			"its batch has another size now: %d bytes, and had %d", l.StoredBytes, v.Batch.StoredBytes)
	}
}

func (a *app) printEpoch(s *shownEpoch) {
	a.line("epoch", "%d of %s", s.Epoch, s.Namespace)
	a.printVerdict(s.Verdict, s.Acknowledged)
	if o := s.Overruling; o != nil {
		a.line("overruled", "by %s: it was %s", o.By, outcomeText(o.Was, o.Reason))
		a.line("", "%s", o.Why)
	}
	a.line("before", "%s", neighbourText(s.Before, s.Epoch-1))
	a.line("after", "%s", neighbourText(s.After, s.Epoch+1))
	if s.Stretch != nil {
		a.line("stretch", "%s%s", rangeText(epochset.Range{From: s.Stretch.From, To: s.Stretch.To}), linkText(*s.Stretch))
	}
	a.line("seal", "%s", map[string]string{
		"none": "none yet", "holds": "the verdict is the one that was sealed", "differs": "the verdict is not the one that was sealed",
	}[s.Seal])
	for _, key := range s.Evidence {
		a.line("evidence", "%s", key)
	}
	for _, o := range s.Open {
		a.line("incident", "%s, %s", o.Incident, incidentState(o))
	}
	a.printListed(s)
	if len(s.Wrong) > 0 {
		a.printf("\n")
	}
	for _, w := range s.Wrong {
		a.printf("%s\n", w)
	}
}

func (a *app) printVerdict(v *verdict.Verdict, acknowledged bool) {
	if v == nil {
		a.line("verdict", "none")
		return
	}
	if v.Outcome == verdict.Rejected {
		a.line("verdict", "rejected: %s%s", v.Reason, acknowledgedText(acknowledged))
		if v.Detail != "" {
			a.line("detail", "%s", v.Detail)
		}
	} else {
		a.line("verdict", "%s: %d inserted, %d unchanged", v.Outcome, v.Inserted, v.Unchanged)
	}
	a.line("judged", "%s ago, by %s", ageText(v.FinishedAt, time.Now()), v.Software)
	if v.Digest != "" {
		a.line("previous", "%s", v.PreviousDigest)
		a.line("digest", "%s", v.Digest)
	}
	if v.Batch.Key != "" {
		a.line("batch", "%s", v.Batch.Key)
		a.line("bytes", "%d stored (%s), %d unpacked", v.Batch.StoredBytes, v.Batch.Compression, v.Batch.Bytes)
		a.line("sha256", "%s", v.Batch.SHA256)
	}
	signature := strings.ReplaceAll(v.Signature.Status, "_", " ")
	if v.Signature.KeyID != nil {
		signature += fmt.Sprintf(", key %d", *v.Signature.KeyID)
	}
	a.line("signature", "%s", signature)
	if v.Strays != nil {
		a.line("strays", "%d other objects lay under it", len(v.Strays.Names)+v.Strays.More)
	}
}

// neighbourText says how the epoch and a neighbour hang together.
func neighbourText(link string, neighbour uint64) string {
	switch {
	case neighbour == 0:
		return "nothing: it is the first epoch"
	case link == "linked":
		return fmt.Sprintf("linked with epoch %d", neighbour)
	case link == "broken":
		return fmt.Sprintf("broken: does not fit epoch %d", neighbour)
	}
	return fmt.Sprintf("unknown: this epoch and epoch %d are not both verified", neighbour)
}

func (a *app) printListed(s *shownEpoch) {
	switch l := s.Log; {
	case l == nil:
		a.line("log", "%s", s.LogNote)
	case !l.Published:
		a.line("log", "lists nothing for it now")
	case l.Fault != "":
		a.line("log", "%s", text.Clean(l.Fault, maxErrorLine))
	default:
		modified := ""
		if !l.ModifiedAt.IsZero() {
			modified = ", written " + l.ModifiedAt.Format(time.RFC3339)
		}
		a.line("log", "lists %s, %d bytes%s", l.Key, l.StoredBytes, modified)
		if l.Rewritten {
			a.line("", "written anew since it was judged: run `ktaudit reverify` to compare its bytes")
		}
	}
}
