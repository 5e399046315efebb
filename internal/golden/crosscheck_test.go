package golden_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/jobs/crosscheck"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// crossCheck compares an auditor that signed what was rejected, what nobody else saw, and two
// digests for one epoch.
func crossCheck(t *testing.T) []object {
	w := emptyWorld(t)
	answers := answering{}
	for epoch := uint64(12); epoch <= 15; epoch++ {
		v := verdictOn(epoch)
		signed := v.Digest
		switch epoch {
		case 13:
			signed = digest(1)
		case 14:
			v.Outcome, v.Reason = verdict.Rejected, "digest_mismatch"
		}
		w.put(t, v)
		answers.sign(t, epoch, signed)
	}
	answers["last-verified-epoch"] = fmt.Sprintf(`{"job_id":"7b0c1f0e-1c0f-4d3c-9d1a-000000000000","epoch":15,"start_hash":%q,"end_hash":%q,"timestamp":1}`,
		digest(1), digest(2))
	asked, err := client.New(client.Config{URL: "https://auditor.example", HTTP: &http.Client{Transport: answers}, Attempts: 1})
	must(t, err)
	keys, err := signature.ParseKeys([]string{hex.EncodeToString(auditorKey.Public().(ed25519.PublicKey))})
	must(t, err)
	must(t, crosscheck.New(crosscheck.Config{
		Namespace: namespace, Store: w.store, Incidents: incident.Recorder{Store: w.store, Log: zerolog.Nop()},
		Client: asked, RemoteNamespace: namespace, Keys: keys, Rate: 1e9, Log: zerolog.Nop(),
	}).Round(t.Context()))
	return w.audit.objects()
}

// crossCheckOurs compares a shard that was signed here.
func crossCheckOurs(t *testing.T) []object {
	w := emptyWorld(t)
	answers := answering{}
	for epoch := uint64(1000); epoch < 2000; epoch++ {
		v := verdictOn(epoch)
		w.put(t, v)
		answers.sign(t, epoch, v.Digest)
		_, err := w.store.Folder(namespace, "signed").Put(t.Context(), []byte(answers[fmt.Sprint("audits/", epoch)]), "000000001", fmt.Sprintf("%012d", epoch))
		must(t, err)
	}
	must(t, crosscheck.NewOurs(crosscheck.OursConfig{
		Namespace: namespace, Store: w.store, Incidents: incident.Recorder{Store: w.store, Log: zerolog.Nop()}, Log: zerolog.Nop(),
	}).Round(t.Context()))
	var marks []object
	for _, o := range w.audit.objects() {
		if bytes.Contains([]byte(o.key), []byte("/crosscheck/")) {
			marks = append(marks, o)
		}
	}
	return marks
}

var auditorKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

// answering is what an auditor answers, by question.
type answering map[string]string

func (a answering) sign(t *testing.T, epoch uint64, text string) {
	t.Helper()
	var raw [32]byte
	_, err := hex.Decode(raw[:], []byte(text))
	must(t, err)
	s, err := signature.Sign(auditorKey, signature.CiphersuiteProtobuf, namespace, 1780000000000+epoch, epoch, raw)
	must(t, err)
	data, err := json.Marshal(s)
	must(t, err)
	a[fmt.Sprint("audits/", epoch)] = string(data)
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	response := answerOf(http.StatusNotFound, "")
	for question, answer := range a {
		if r.URL.Path == "/namespaces/"+namespace+"/"+question {
			response = answerOf(http.StatusOK, answer)
		}
	}
	return response, nil
}

func answerOf(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader([]byte(body)))}
}
