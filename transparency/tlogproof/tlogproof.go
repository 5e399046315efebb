package tlogproof

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxBytes is the longest file that Check reads.
const MaxBytes = 256 << 10

// maxHashes is how many hashes a proof has at most.
const maxHashes = 63

// maxSize is more entries than there are epochs. Beyond 1<<62 tlog does not return.
const maxSize = verdict.MaxEpoch + 1

// header is the first line of every C2SP tlog-proof.
const header = "c2sp.org/tlog-proof@v1"

var (
	// ErrMalformed says that a file is no proof of a verdict. Whoever made the file is to blame.
	ErrMalformed = errors.New("no proof of a verdict")
	// ErrSignature says that a checkpoint is not signed by the auditor's key for this log, or that
	// a signature under a key of the reader's is wrong. The file, or one of the keys, is another's.
	ErrSignature = errors.New("not signed by the auditor's key")
	// ErrNotIncluded says that the signed tree does not have the verdict at the place that the
	// proof names: the verdict or the proof was changed, or the auditor took the verdict back.
	ErrNotIncluded = errors.New("not in the signed tree")
)

// Result is what a proof shows.
type Result struct {
	Origin    string `json:"origin"`
	Namespace string `json:"namespace"`
	Epoch     uint64 `json:"epoch"`
	// Index is the entry's place in the log.
	Index int64 `json:"index"`
	// First is the epoch of the log's entry 0 if the entry is where it belongs. All proofs of a log
	// must show the same: two that differ show that its auditor has two entries for one epoch.
	First uint64 `json:"first"`
	// Entry is what the log has: exactly one of Verdict and Absence is there.
	Entry   []byte           `json:"-"`
	Verdict *verdict.Verdict `json:"verdict,omitempty"`
	Absence *verdict.Absence `json:"absence,omitempty"`
	// Size and Root are those of the signed tree.
	Size int64     `json:"size"`
	Root tlog.Hash `json:"root"`
	// Cosigned are the reader's witnesses that cosigned the tree, in the order of the keys.
	Cosigned []Cosignature `json:"cosigned"`
	// Required is how many had to, Known how many the reader named. Others are signatures by keys
	// that the reader does not have; nothing is known of them.
	Required int `json:"required"`
	Known    int `json:"known"`
	Others   int `json:"others"`
}

// Cosignature says that a witness saw the tree, and no tree before that it does not extend.
type Cosignature struct {
	Name string    `json:"name"`
	Key  string    `json:"key"` // C2SP verifier key
	At   time.Time `json:"at"`  // by the witness's clock, in seconds
}

// Met reports whether enough witnesses cosigned. Without any that are required it is true, and says
// nothing.
func (r Result) Met() bool { return len(r.Cosigned) >= r.Required }

// Format makes the file that proves that an entry, a verdict's or an Absence's stored bytes, is in
// the tree of a signed checkpoint.
func Format(entry []byte, index int64, proof tlog.RecordProof, checkpoint []byte) []byte {
	return torchwood.FormatProofWithExtraData(index, entry, proof, checkpoint)
}

// Check checks a file by the reader's keys alone. Without an error the auditor signed that the
// entry is in its log, which is that of the entry's namespace; whether enough witnesses saw this is
// left to Result.Met. An entry of a later version is a verdict.ErrNewerSchema, once all the rest
// was found right.
func Check(file []byte, keys Keys) (Result, error) {
	p, err := parse(file)
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	c, err := keys.CheckCheckpoint(p.checkpoint)
	if err != nil {
		return Result{}, err
	}
	tree := c.Tree
	if err := tlog.CheckRecord(p.hashes, tree.N, tree.Hash, p.index, tlog.RecordHash(p.entry)); err != nil {
		return Result{}, fmt.Errorf("%w: entry %d of %d: %w", ErrNotIncluded, p.index, tree.N, err)
	}
	r := Result{
		Origin: tree.Origin, Index: p.index, Entry: p.entry, Size: tree.N, Root: tree.Hash,
		Cosigned: c.Cosigned, Required: keys.require, Known: len(keys.witnesses), Others: c.Others,
	}
	return r, r.read()
}

// read says what the entry is, and whether it belongs in this log.
func (r *Result) read() error {
	v, errVerdict := verdict.Decode(r.Entry)
	if errors.Is(errVerdict, verdict.ErrNewerSchema) {
		return fmt.Errorf("entry %d of %s: %w", r.Index, r.Origin, errVerdict)
	}
	if errVerdict == nil && len(r.Entry) <= verdict.MaxBytes {
		r.Verdict, r.Namespace, r.Epoch = &v, v.Namespace, v.Epoch
	} else {
		a, err := verdict.DecodeAbsence(r.Entry)
		if err != nil {
			return fmt.Errorf("%w: entry %d of %s is neither a verdict (%w) nor an absence (%w)", ErrMalformed, r.Index, r.Origin, errVerdict, err)
		}
		r.Absence, r.Namespace, r.Epoch = &a, a.Namespace, a.Epoch
	}
	if !strings.HasSuffix(r.Origin, "/"+r.Namespace) {
		return fmt.Errorf("%w: entry %d of %s is on epoch %d of %s, which belongs in another log", ErrMalformed, r.Index, r.Origin, r.Epoch, r.Namespace)
	}
	if uint64(r.Index) > r.Epoch {
		return fmt.Errorf("%w: entry %d of %s is on epoch %d, and an epoch's entry is as far from the first as the epoch is", ErrMalformed, r.Index, r.Origin, r.Epoch)
	}
	r.First = r.Epoch - uint64(r.Index)
	return nil
}

// checkForm refuses signatures whose base64 has bits that are read over.
func checkForm(signed *note.Note) error {
	for _, s := range signed.Sigs {
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return fmt.Errorf("signature of %s: %w", s.Name, err)
		}
	}
	return nil
}

// maxTime is the end of the year 9999. What is later cannot be written as a date in JSON.
const maxTime = 253402300799

// CosignedAt returns the time that a cosigner wrote into a cosignature. It is not ok if that is no
// date: then the cosignature counts for nothing.
func CosignedAt(s note.Signature) (at time.Time, ok bool) {
	seconds, err := torchwood.CosignatureTimestamp(s)
	return time.Unix(seconds, 0).UTC(), err == nil && seconds <= maxTime
}

// cosigned returns whose cosignatures were verified when the note was opened.
func (k Keys) cosigned(signed *note.Note) []Cosignature {
	all := []Cosignature{}
	for _, w := range k.witnesses {
		for _, s := range signed.Sigs {
			if s.Name != w.Name() || s.Hash != w.KeyHash() {
				continue
			}
			if at, ok := CosignedAt(s); ok {
				all = append(all, Cosignature{w.Name(), w.String(), at})
			}
		}
	}
	return all
}

// proof is a file that was read, unchecked.
type proof struct {
	entry      []byte
	index      int64
	hashes     tlog.RecordProof
	checkpoint []byte
}

// parse reads a file in the one form that it can have.
func parse(file []byte) (p proof, err error) {
	if len(file) > MaxBytes {
		return p, fmt.Errorf("%d bytes, the limit is %d", len(file), MaxBytes)
	}
	head, checkpoint, _ := bytes.Cut(file, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if lines[0] != header {
		return p, fmt.Errorf("the first line is not %s", header)
	}
	if len(lines) < 3 || len(lines) > 3+maxHashes {
		return p, fmt.Errorf("%d lines before the checkpoint", len(lines))
	}
	p.checkpoint = checkpoint
	extra, ok := strings.CutPrefix(lines[1], "extra ")
	if p.entry, err = base64.StdEncoding.DecodeString(extra); err != nil || !ok {
		return p, errors.New("the second line is not the entry in base64 after \"extra \"")
	}
	index, ok := strings.CutPrefix(lines[2], "index ")
	if p.index, err = strconv.ParseInt(index, 10, 64); err != nil || !ok || p.index < 0 {
		return p, errors.New("the third line is not the entry's number after \"index \"")
	}
	for _, line := range lines[3:] {
		h, err := tlog.ParseHash(line)
		if err != nil {
			return p, fmt.Errorf("%.80q is no hash: %w", line, err)
		}
		p.hashes = append(p.hashes, h)
	}
	// What reads alike may be written in several ways, of which one is meant.
	if !bytes.Equal(Format(p.entry, p.index, p.hashes, p.checkpoint), file) {
		return p, errors.New("it is written in another way than such files are")
	}
	return p, nil
}

// Claimed returns which log a proof or a statement says it is of, unchecked: it is for choosing the
// keys with which to check that.
func Claimed(file []byte) (origin string, err error) {
	if len(file) > MaxBytes {
		return "", fmt.Errorf("%w: %d bytes, the limit is %d", ErrMalformed, len(file), MaxBytes)
	}
	text := file
	if bytes.HasPrefix(file, []byte(header+"\n")) {
		_, text, _ = bytes.Cut(file, []byte("\n\n"))
	}
	line, _, ok := bytes.Cut(text, []byte("\n"))
	if !ok || len(line) == 0 || len(line) > 1000 {
		return "", fmt.Errorf("%w: it names no log", ErrMalformed)
	}
	return string(line), nil
}
