package check

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"compress/gzip"

	"github.com/klauspost/compress/zstd"
	"github.com/ktaudit/ktaudit/transparency/tlogproof"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
	"github.com/ktaudit/ktaudit/verdict"
)

// aVerdict is the verdict on an epoch as it is stored.
func aVerdict(t *testing.T, epoch uint64, outcome string) []byte {
	t.Helper()
	at := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	v := verdict.Verdict{
		Schema: 1, Namespace: "example", Epoch: epoch, PreviousDigest: fmt.Sprintf("%064x", epoch-1), Digest: fmt.Sprintf("%064x", epoch),
		Outcome: outcome, Batch: verdict.Batch{Key: "k", SHA256: fmt.Sprintf("%064x", 7)}, StartedAt: at, FinishedAt: at,
	}
	if outcome == verdict.Rejected {
		v.Reason = verdict.DigestMismatch
	}
	data, err := v.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// aProof is what a page has of epoch 103, whose log begins with epoch 100: one that holds, with two
// of three witnesses.
func aProof(t *testing.T) Proof {
	t.Helper()
	l := tlogtest.New("auditor.example.org/example")
	for epoch := range uint64(5) {
		l.Append(aVerdict(t, 100+epoch, verdict.Verified))
	}
	entry := aVerdict(t, 103, verdict.Verified)
	return Proof{
		Namespace: "example", Epoch: 103, Verdict: entry,
		File: tlogproof.Format(entry, 3, l.Inclusion(5, 3), tlogtest.Cosign(l.Checkpoint(5), "a.example", "b.example")),
		Log:  l.Verifier(), Witnesses: strings.Join([]string{tlogtest.Witness("a.example"), tlogtest.Witness("b.example"), tlogtest.Witness("c.example")}, "\n"), Require: 2,
	}
}

func TestProof(t *testing.T) {
	t.Parallel()
	other := tlogtest.New("auditor.example.org/example")
	other.Key = tlogtest.Key("another")
	for name, test := range map[string]struct {
		change  func(*Proof)
		want    Outcome
		summary string // a part of it
	}{
		"holds":               {func(*Proof) {}, Good, "has this verdict, and 2 witnesses saw"},
		"no witness needed":   {func(p *Proof) { p.Require, p.Witnesses = 0, "" }, Good, "may show others another log"},
		"too few witnesses":   {func(p *Proof) { p.Require = 3 }, Unclear, "2 cosigned where you require 3 witnesses"},
		"no key":              {func(p *Proof) { p.Log = " " }, Unclear, "give the key"},
		"no such key":         {func(p *Proof) { p.Log = "key" }, Unclear, "keys cannot be used"},
		"no such witness":     {func(p *Proof) { p.Witnesses += "x" }, Unclear, "keys cannot be used"},
		"more than there are": {func(p *Proof) { p.Require = 4 }, Unclear, "keys cannot be used"},
		"another's key":       {func(p *Proof) { p.Log = other.Verifier() }, Wrong, "does not hold"},
		"another verdict":     {func(p *Proof) { p.Verdict = aVerdict(t, 103, verdict.Rejected) }, Wrong, "not the one in the auditor's log"},
		"another epoch":       {func(p *Proof) { p.Epoch = 104 }, Wrong, "another epoch"},
		"another log":         {func(p *Proof) { p.Namespace = "other" }, Wrong, "another epoch"},
		"no proof":            {func(p *Proof) { p.File = []byte("<!doctype html>") }, Wrong, "does not hold"},
		"no verdict":          {func(p *Proof) { p.Verdict = nil }, Wrong, "not the one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := aProof(t)
			test.change(&p)
			if r := p.Check(); r.Outcome != test.want || !strings.Contains(r.Summary, test.summary) {
				t.Errorf("%s: %s %+v", r.Outcome, r.Summary, r.Steps)
			}
		})
	}
}

// Whichever byte of a proof or a verdict is changed, it does not pass.
func TestChangedByte(t *testing.T) {
	t.Parallel()
	whole := aProof(t)
	for i := range whole.File {
		p := whole
		p.File = bytes.Clone(whole.File)
		p.File[i] ^= 1
		if r := p.Check(); r.Outcome == Good {
			t.Fatalf("byte %d of the proof: %s", i, r.Summary)
		}
	}
	for i := range whole.Verdict {
		p := whole
		p.Verdict = bytes.Clone(whole.Verdict)
		p.Verdict[i] ^= 1
		if r := p.Check(); r.Outcome != Wrong {
			t.Fatalf("byte %d of the verdict: %s", i, r.Summary)
		}
	}
}

// A rejection that is in the log must not read as if all were well.
func TestRejectionOnRecord(t *testing.T) {
	t.Parallel()
	p := aProof(t)
	l := tlogtest.New("auditor.example.org/example")
	p.Verdict = aVerdict(t, 103, verdict.Rejected)
	l.Append(p.Verdict)
	p.File, p.Require, p.Witnesses = tlogproof.Format(p.Verdict, 0, l.Inclusion(1, 0), l.Checkpoint(1)), 0, ""
	r := p.Check()
	if said := fmt.Sprint(r.Steps); r.Outcome != Good || !strings.Contains(said, "REJECTED: digest_mismatch") || !strings.Contains(said, "has 1 entry ") {
		t.Errorf("%s %s", r.Summary, said)
	}
}

// aBatch is a batch of akd's, with its name.
func aBatch(t *testing.T) Batch {
	t.Helper()
	files, err := filepath.Glob("../../testdata/vectors/whatsapp-v1/log/7/*/*")
	if err != nil || len(files) != 1 {
		t.Fatal("one proof file is expected: ", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(filepath.ToSlash(files[0]), "/")
	return Batch{Name: strings.Join(parts[len(parts)-3:], "/"), Configuration: "whatsapp_v1", Bytes: data}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	gzipped := func(b []byte) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		w.Write(b)
		w.Close()
		return out.Bytes()
	}
	zstandard := func(b []byte) []byte {
		w, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		return w.EncodeAll(b, nil)
	}
	for name, test := range map[string]struct {
		change  func(*Batch)
		want    Outcome
		summary string
	}{
		"holds":           {func(*Batch) {}, Good, "epoch 7 only added 22 keys"},
		"gzip":            {func(b *Batch) { b.Bytes = gzipped(b.Bytes); b.Name += ".gz" }, Good, "epoch 7 only added 22 keys"},
		"zstd":            {func(b *Batch) { b.Bytes = zstandard(b.Bytes) }, Good, "epoch 7 only added 22 keys"},
		"s2":              {func(b *Batch) { b.Bytes = []byte("\xff\x06\x00\x00S2sTwO") }, Unclear, "only the command"},
		"truncated gzip":  {func(b *Batch) { b.Bytes = gzipped(b.Bytes)[:200] }, Unclear, "Nothing was verified"},
		"empty":           {func(b *Batch) { b.Bytes = nil }, Wrong, "Rejected"},
		"changed":         {func(b *Batch) { b.Bytes[40] ^= 1 }, Wrong, "Rejected"},
		"configuration":   {func(b *Batch) { b.Configuration = "experimental:Other" }, Wrong, "Rejected"},
		"no such name":    {func(b *Batch) { b.Name = "7" }, Unclear, "is none of a batch"},
		"no such hashing": {func(b *Batch) { b.Configuration = "sha1" }, Unclear, "unknown configuration"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := aBatch(t)
			test.change(&b)
			if r := b.Check(t.Context()); r.Outcome != test.want || !strings.Contains(r.Summary, test.summary) {
				t.Errorf("%s: %s %+v", r.Outcome, r.Summary, r.Steps)
			}
		})
	}
}
