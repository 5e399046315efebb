package crosscheck

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/api"
	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/audittest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/bundle"
	"github.com/ktaudit/ktaudit/jobs/evidence"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/jobs/timestamp"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
)

// A log shows one tree to one ktaudit and, from epoch 2 on, another to a second one, each in its
// directory and in what it posts. Both audit what they are shown, and find nothing wrong with it.
// They watch each other: both tell of it within two periods, and the bundle of either proves it to
// whoever knows the keys of the two.
func TestTwoAuditorsFindASplitView(t *testing.T) {
	t.Parallel()
	a, b := newWatcher(t, 20, 1), newWatcher(t, 21, 2)
	a.watch(t, b)
	b.watch(t, a)
	for _, w := range []*watcher{a, b} {
		w.shown(t, 1)
	}
	for range 2 {
		a.period(t)
		b.period(t)
	}
	for _, w := range []*watcher{a, b} {
		w.wantStatus(t, false)
		w.shown(t, 2)
		w.wantStatus(t, false) // as far as it knows by itself
	}
	for range 2 {
		a.period(t)
		b.period(t)
	}
	keys, err := signature.ParseKeys([]string{public(1), public(2)})
	jobstest.Must(t, err)
	for _, w := range []*watcher{a, b} {
		w.wantStatus(t, true)
		var data bytes.Buffer
		_, err := bundle.Write(t.Context(), &data, w.Store, bundle.About{Namespace: namespace, Epoch: 2, Configuration: "whatsapp_v1"})
		jobstest.Must(t, err)
		open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data.Bytes())), nil }
		checked, err := bundle.Verify(t.Context(), open, bundle.Options{Keys: keys})
		jobstest.Must(t, err)
		if checked.Result != bundle.Proven || len(checked.BySignatures) != 1 || !strings.Contains(checked.BySignatures[0], "two digests are signed for epoch 2") {
			t.Errorf("%s: %s, %q, %+v", w.origin, checked.Result, checked.BySignatures, checked.Claims)
		}
	}
}

// watcher is a ktaudit with an API, and the log as it is shown to it.
type watcher struct {
	*audittest.World
	auditor *audit.Auditor
	origin  string
	key     ed25519.PrivateKey
	rounds  []func() error
}

func newWatcher(t *testing.T, insertions int, key byte) *watcher {
	t.Helper()
	w := &watcher{World: audittest.New(t, simlog.Options{Epochs: 3, Insertions: insertions}), key: keyOf(key)}
	w.Config.Keys, w.Config.Signatures = signature.Keys{}, nil
	w.auditor = w.Auditor(t)
	recorder := incident.Recorder{Store: w.Store, Log: zerolog.Nop()}
	keys := []auditor.Key{{Signer: w.key}}
	signer, err := auditor.New(auditor.Config{
		Namespace: namespace, Store: w.Store, Keys: keys, Ciphersuite: signature.CiphersuiteProtobuf, Conflict: timestamp.Conflict(recorder, namespace),
	})
	jobstest.Must(t, err)
	logs := []api.Namespace{{
		Name: namespace, Ciphersuite: signature.CiphersuiteProtobuf, Auditor: signer, Posters: api.Posters{Token: func() string { return "a token" }},
	}}
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { handler.ServeHTTP(rw, r) }))
	t.Cleanup(server.Close)
	w.origin = server.URL
	handler, err = api.New(api.Config{
		Store: w.Store, Keys: keys, URL: w.origin, Namespaces: func() []api.Namespace { return logs }, Log: zerolog.Nop(),
	})
	jobstest.Must(t, err)
	ours := NewOurs(OursConfig{Namespace: namespace, Store: w.Store, Incidents: recorder, Every: minute})
	w.rounds = append(w.rounds, func() error { return ours.Round(t.Context()) })
	return w
}

// watch has it compare what another signed.
func (w *watcher) watch(t *testing.T, other *watcher) {
	t.Helper()
	c, err := client.New(client.Config{URL: other.origin, Attempts: 1})
	jobstest.Must(t, err)
	keys, err := signature.ParseKeys([]string{fmt.Sprintf("%x", []byte(other.key.Public().(ed25519.PublicKey)))})
	jobstest.Must(t, err)
	collect := (&evidence.Collector{
		Namespace: namespace, Fetcher: w.Fetcher, Store: w.Store, MaxBatches: 1, MaxBytes: 1 << 20, Log: zerolog.Nop(),
	}).On
	l := New(Config{
		Namespace: namespace, Store: w.Store, Incidents: incident.Recorder{Store: w.Store, Log: zerolog.Nop(), Collect: collect},
		Client: c, RemoteNamespace: namespace, Keys: keys, Every: minute, Rate: 1e9, Log: zerolog.Nop(),
	})
	w.rounds = append(w.rounds, func() error { return l.Round(t.Context()) })
}

// shown has the log post an epoch, and the epoch audited.
func (w *watcher) shown(t *testing.T, epoch uint64) {
	t.Helper()
	object, err := w.Fetcher.Locate(t.Context(), epoch)
	jobstest.Must(t, err)
	body := fmt.Sprintf(`{"epoch":%d,"digest":%q}`, epoch, validator.Digest(object.Name.Digest).String())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.origin+"/namespaces/"+namespace+"/audits", strings.NewReader(body))
	jobstest.Must(t, err)
	r.Header.Set("Authorization", "Bearer a token")
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	jobstest.Must(t, err)
	said, err := io.ReadAll(answer.Body)
	jobstest.Must(t, err)
	jobstest.Must(t, answer.Body.Close())
	if answer.StatusCode/100 != 2 {
		t.Fatalf("%s: %s", answer.Status, said)
	}
	v, err := w.auditor.Audit(t.Context(), epoch)
	if err != nil || v.Outcome != verdict.Verified {
		t.Fatalf("%+v, %v", v, err)
	}
}

// period does what is due once.
func (w *watcher) period(t *testing.T) {
	t.Helper()
	for _, round := range w.rounds {
		jobstest.Must(t, round())
	}
}

// wantStatus checks that status says that something is wrong, because of a split view at epoch 2.
func (w *watcher) wantStatus(t *testing.T, wrong bool) {
	t.Helper()
	s, err := report.ReadStatus(t.Context(), w.Store, namespace, verdict.Anchor{}, 0, 0)
	jobstest.Must(t, err)
	isSplit := func(o incident.Open) bool {
		return strings.HasPrefix(o.Incident, "split_view/000000000002-") && o.Wrong() && !o.Acknowledged
	}
	if s.Wrong(false) != wrong || slices.ContainsFunc(s.Incidents, isSplit) != wrong || wrong && s.Head != 1 {
		t.Errorf("wrong %v, head %d, incidents %+v", s.Wrong(false), s.Head, s.Incidents)
	}
}
