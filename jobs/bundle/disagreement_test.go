package bundle_test

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/bundle"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/rs/zerolog"
)

// What two auditors say of an epoch is proven where both signed it under keys that the reader
// named, and shown otherwise if the bytes are there.
func TestDisagreements(t *testing.T) {
	t.Parallel()
	keyOf := func(n byte) ed25519.PrivateKey {
		return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
	}
	theirs, ours := keyOf(1), keyOf(2)
	for _, c := range []struct {
		name string
		kind alert.Kind
		// change changes the statements: theirs, signed for another digest, ours, signed for the
		// log's, and what the log published, of which the first two are recorded.
		change       func(theirs, ours, log *incident.Statement) []incident.Statement
		keys         []ed25519.PrivateKey // that the reader names
		want         bundle.Result
		proof, limit string
	}{
		{"two auditors", alert.SplitView, func(theirs, ours, _ *incident.Statement) []incident.Statement {
			return []incident.Statement{*theirs, *ours}
		}, []ed25519.PrivateKey{theirs, ours}, bundle.Proven, "the log showed them two histories, or one of the two signed what it was not shown", ""},
		{"two auditors, whose keys the bundle brings", alert.SplitView, func(theirs, ours, _ *incident.Statement) []incident.Statement {
			return []incident.Statement{*theirs, *ours}
		}, nil, bundle.Shown, "if these keys", "That the keys are the log's"},
		{"two auditors, of whom the reader knows one", alert.SplitView, func(theirs, ours, _ *incident.Statement) []incident.Statement {
			return []incident.Statement{*theirs, *ours}
		}, []ed25519.PrivateKey{theirs}, bundle.NotShown, "not among those that you named", ""},
		{"an auditor and the log", alert.SplitView, func(theirs, _, log *incident.Statement) []incident.Statement {
			return []incident.Statement{*theirs, *log}
		}, []ed25519.PrivateKey{theirs}, bundle.Shown, "that the log published it is the word", "That the log published what is in it"},
		{"an auditor and the log, whose batch is lost", alert.SplitView, func(theirs, _, log *incident.Statement) []incident.Statement {
			log.BatchKey = "2/lost"
			return []incident.Statement{*theirs, *log}
		}, []ed25519.PrivateKey{theirs}, bundle.NotShown, "is not in the bundle", ""},
		{"an auditor whose signature is spoilt", alert.SplitView, func(theirs, _, log *incident.Statement) []incident.Statement {
			theirs.Signed = []byte(strings.Replace(string(theirs.Signed), `"timestamp":1`, `"timestamp":2`, 1))
			return []incident.Statement{*theirs, *log}
		}, []ed25519.PrivateKey{theirs}, bundle.NotShown, "is not validly signed", ""},
		{"an auditor that knows the log by another name", alert.SplitView, func(theirs, ours, _ *incident.Statement) []incident.Statement {
			theirs.Signed, theirs.Namespace = signedAs(t, keyOf(1), "another.name", 2, [32]byte{7}), "another.name"
			return []incident.Statement{*theirs, *ours}
		}, []ed25519.PrivateKey{theirs, ours}, bundle.Shown, "of a log called another.name", ""},
		{"an auditor that signed twice", alert.AuditorContradiction, func(theirs, _, _ *incident.Statement) []incident.Statement {
			again := *theirs
			again.Signed, again.Digest = signedAs(t, keyOf(1), jobstest.Namespace, 2, [32]byte{8}), validator.Digest{8}.String()
			return []incident.Statement{*theirs, again}
		}, []ed25519.PrivateKey{theirs}, bundle.Proven, "two digests are signed for epoch 2", ""},
		{"an auditor that answered otherwise", alert.AuditorContradiction, func(theirs, _, log *incident.Statement) []incident.Statement {
			return []incident.Statement{*theirs, {By: theirs.By, Digest: log.Digest, Answer: "last-verified-epoch"}}
		}, []ed25519.PrivateKey{theirs}, bundle.Shown, "answered so is the word", ""},
		{"nothing but words", alert.SplitView, func(theirs, _, log *incident.Statement) []incident.Statement {
			return []incident.Statement{{By: theirs.By, Digest: theirs.Digest, Answer: "last-verified-epoch"}, *log}
		}, []ed25519.PrivateKey{theirs}, bundle.NotShown, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := jobstest.NewWorld(t, simlog.Options{Epochs: 3})
			audits(t, w, false, 1, 2, 3)
			v, err := w.Store.Verdict(t.Context(), jobstest.Namespace, 2)
			jobstest.Must(t, err)
			digest, err := validator.ParseDigest(v.Digest)
			jobstest.Must(t, err)
			other := validator.Digest{7}
			log := incident.StatementOf(v)
			their := incident.Statement{By: "https://auditor.example", Digest: other.String(), Key: public(theirs),
				Signed: signedAs(t, theirs, jobstest.Namespace, 2, other)}
			our := incident.Statement{By: incident.ByOurselves, Digest: v.Digest, Key: public(ours), Signed: signedAs(t, ours, jobstest.Namespace, 2, digest)}
			r := incident.Recorder{Store: w.Store, Log: zerolog.Nop(), Collect: newCollector(w).On}
			statements := c.change(&their, &our, &log)
			jobstest.Must(t, r.RecordDisagreement(t.Context(), alert.Alert{
				Kind: c.kind, Namespace: jobstest.Namespace, Epoch: 2, Incident: alert.FactIncident(c.kind, 2, "a fact"), Summary: "a summary",
			}, []incident.Batch{incident.BatchOf(v)}, statements...))

			var texts []string
			for _, k := range c.keys {
				texts = append(texts, public(k))
			}
			keys, err := signature.ParseKeys(texts)
			jobstest.Must(t, err)
			checked, err := verify(t.Context(), write(t, w, 2), keys)
			jobstest.Must(t, err)
			if checked.Result != c.want || len(checked.Claims) != 1 || !strings.Contains(checked.Claims[0].Proof, c.proof) {
				t.Errorf("%s: %+v, want %s and %q", checked.Result, checked.Claims, c.want, c.proof)
			}
			if !strings.Contains(strings.Join(checked.Limits, "\n"), c.limit) {
				t.Errorf("limits are %q", checked.Limits)
			}
		})
	}
}

// signedAs is a signed digest under a name of the log.
func signedAs(t *testing.T, key ed25519.PrivateKey, namespace string, epoch uint64, digest [32]byte) []byte {
	t.Helper()
	s, err := signature.Sign(key, signature.CiphersuiteProtobuf, namespace, 1780000000000, epoch, digest)
	jobstest.Must(t, err)
	data, err := s.MarshalJSON()
	jobstest.Must(t, err)
	return data
}
