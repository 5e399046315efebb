package witness

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
	"github.com/ktaudit/ktaudit/transparency/witnesses"
	"github.com/rs/zerolog"
	"golang.org/x/mod/sumdb/note"
)

func openStore(t testing.TB, dir string) *auditstore.Store {
	t.Helper()
	store, err := auditstore.Open(t.Context(), "file://"+dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func aWitness(t testing.TB, logs ...*tlogtest.Log) *Witness {
	t.Helper()
	var known []Log
	for _, l := range logs {
		known = append(known, Log{Key: l.Verifier()})
	}
	w, err := New(openStore(t, t.TempDir()), "w.example", tlogtest.Key("w"), known)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func mustAdd(t testing.TB, w *Witness, l *tlogtest.Log, old, size int64) {
	t.Helper()
	line, err := w.Add(t.Context(), requestFor(l, old, size))
	if err != nil {
		t.Fatalf("%d to %d: %v", old, size, err)
	}
	n, err := note.Open([]byte(l.Body(size)+"\n"+string(line)), note.VerifierList(verifier(t, w)))
	if err != nil || len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 0 {
		t.Fatalf("%s: %v", line, err)
	}
}

func verifier(t testing.TB, w *Witness) note.Verifier {
	t.Helper()
	v, err := torchwood.NewCosignatureVerifier(w.Key())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// timeOf is when a cosignature says that it was made, in seconds.
func timeOf(t testing.TB, line []byte) int64 {
	t.Helper()
	fields := strings.Fields(string(line))
	at, err := torchwood.CosignatureTimestamp(note.Signature{Base64: fields[len(fields)-1]})
	if err != nil {
		t.Error(err)
	}
	return at
}

func TestCosigns(t *testing.T) {
	t.Parallel()
	l, other := tlogtest.New("log.example").Grow(40, "entry "), tlogtest.New("other.example").Grow(9, "entry ")
	w := aWitness(t, l, other)
	mustAdd(t, w, l, 0, 0)
	mustAdd(t, w, l, 0, 1)
	mustAdd(t, w, l, 1, 1) // again
	mustAdd(t, w, other, 0, 9)
	for size := int64(1); size < 40; size++ {
		mustAdd(t, w, l, size, size+1)
	}
	mustAdd(t, w, l, 40, 40)
	// Another replica, and a later process, know it.
	if _, err := w.Add(t.Context(), requestFor(l, 1, 40)); err == nil {
		t.Error("an outdated size was accepted")
	}
}

// TestStateIsSwept: of many trees the last few are kept.
func TestStateIsSwept(t *testing.T) {
	t.Parallel()
	shared := jobstest.NewArchiveStore(t)
	l := tlogtest.New("log.example").Grow(80, "entry ")
	w, err := New(shared.Store, "w.example", tlogtest.Key("w"), []Log{{Key: l.Verifier()}})
	if err != nil {
		t.Fatal(err)
	}
	for size := range int64(80) {
		mustAdd(t, w, l, size, size+1)
	}
	if n := len(jobstest.Keys(t, shared.Bucket)); n > 20 {
		t.Errorf("%d objects", n)
	}
}

// TestStatusCodes are those of C2SP's tlog-witness.
func TestStatusCodes(t *testing.T) {
	t.Parallel()
	l := tlogtest.New("log.example").Grow(20, "entry ")
	fork := tlogtest.New("log.example").Grow(5, "entry ").Grow(20, "other ")
	impostor := tlogtest.New("log.example").Grow(20, "entry ")
	impostor.Key = tlogtest.Key("impostor")
	w := aWitness(t, l)
	mustAdd(t, w, l, 0, 10)
	server := httptest.NewServer(w.Handler("/witness", zerolog.Nop()))
	t.Cleanup(server.Close)
	post := func(body string) (int, string, string) {
		t.Helper()
		response, err := http.Post(server.URL+"/witness/add-checkpoint", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, response.Header.Get("Content-Type"), string(answer)
	}
	good := string(requestFor(l, 10, 12))
	hash := l.Tree(3).Hash.String()
	for _, c := range []struct {
		name, body string
		status     int
		answer     string
	}{
		{"an outdated size", string(requestFor(l, 9, 12)), 409, "10\n"},
		{"a size that is not yet", string(requestFor(l, 11, 12)), 409, "10\n"},
		{"no size yet", string(requestFor(l, 0, 12)), 409, "10\n"},
		{"another tree of that size", string(requestFor(fork, 10, 10)), 409, "10\n"},
		{"a fork", string(requestFor(fork, 10, 12)), 422, ""},
		{"a fork with another's proof", strings.Replace(string(requestFor(fork, 10, 12)), "\n\n", "\n"+hash+"\n\n", 1), 422, ""},
		{"no proof", "old 10\n\n" + string(l.Checkpoint(12)), 422, ""},
		{"a proof of what needs none", "old 10\n" + hash + "\n\n" + string(l.Checkpoint(10)), 422, ""},
		{"a smaller tree", string("old 10\n\n" + string(l.Checkpoint(9))), 400, ""},
		{"an unknown log", string(requestFor(tlogtest.New("else.example").Grow(3, "entry "), 0, 3)), 404, ""},
		{"another's key", string(requestFor(impostor, 10, 12)), 403, ""},
		{"no signature of the log's", "old 10\n\n" + string(tlogtest.Cosign([]byte(l.Body(12)+"\n"), "w1.example")), 403, ""},
		{"a changed signature", good[:len(good)-10] + "AAAAAAAA=\n", 403, ""},
		{"no note", "old 10\n\nlog.example\n", 400, ""},
		{"nothing", "", 400, ""},
		{"no old size", "\n" + string(l.Checkpoint(12)), 400, ""},
		{"an old size below zero", strings.Replace(good, "old 10", "old -1", 1), 400, ""},
		{"an old size written otherwise", strings.Replace(good, "old 10", "old 010", 1), 400, ""},
		{"a proof that is none", strings.Replace(good, "old 10\n", "old 10\nAAAA\n", 1), 400, ""},
		{"a proof of 64 lines", strings.Replace(good, "old 10\n", "old 10\n"+strings.Repeat(hash+"\n", 64), 1), 400, ""},
		{"a signed text that is no checkpoint", "old 0\n\n" + string(l.Sign("log.example\nhello\n")), 400, ""},
		{"a tree so large that tlog does not return", "old 10\n\n" + string(l.Sign(strings.Replace(l.Body(12), "\n12\n", "\n9223372036854775807\n", 1))), 400, ""},
		{"too much", good + strings.Repeat("x", witnesses.MaxRequest), 413, ""},
	} {
		status, kind, answer := post(c.body)
		if status != c.status || c.answer != "" && answer != c.answer || (kind == "text/x.tlog.size") != (status == 409) {
			t.Errorf("%s: %d, %s: %s", c.name, status, kind, answer)
		}
	}
	if status, _, answer := post(good); status != 200 || !strings.HasPrefix(answer, "\u2014 w.example ") || strings.Count(answer, "\n") != 1 {
		t.Errorf("%d: %s", status, answer)
	}
	// A proof of 63 lines is read, and found wrong.
	if status, _, _ := post("old 12\n" + strings.Repeat(hash+"\n", 63) + "\n" + string(l.Checkpoint(13))); status != 422 {
		t.Errorf("%d", status)
	}
	response, err := http.Get(server.URL + "/witness/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	about, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 || !strings.Contains(string(about), w.Key()) || !strings.Contains(string(about), "\nlog.example\n") {
		t.Errorf("%d: %s", response.StatusCode, about)
	}
	if response, err = http.Get(server.URL + "/witness/add-checkpoint"); err != nil || response.StatusCode != 405 {
		t.Errorf("GET: %v, %v", response, err)
	}
}

// TestStoreThatWentBack: what a process has seen it does not forget, and damage is no empty state.
func TestStoreThatWentBack(t *testing.T) {
	t.Parallel()
	l := tlogtest.New("log.example").Grow(20, "entry ")
	shared := jobstest.NewArchiveStore(t)
	w, err := New(shared.Store, "w.example", tlogtest.Key("w"), []Log{{Key: l.Verifier()}})
	if err != nil {
		t.Fatal(err)
	}
	mustAdd(t, w, l, 0, 5)
	mustAdd(t, w, l, 5, 9)
	var newest string
	for _, key := range jobstest.Keys(t, shared.Bucket) {
		if strings.Contains(key, "/witness/") {
			newest = key // the first in the listing
			break
		}
	}
	data, err := shared.Bucket.ReadAll(t.Context(), newest)
	if err != nil {
		t.Fatal(err)
	}
	if err := shared.Bucket.Delete(t.Context(), newest); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Add(t.Context(), requestFor(l, 5, 10)); err == nil || !strings.Contains(err.Error(), "went back") {
		t.Errorf("%v", err)
	}
	for name, damaged := range map[string]string{
		"no JSON": "x", "another log's": strings.Replace(string(data), "log.example", "else.example", 1), "empty": "", "a later schema": `{"schema":2}`,
		"no size": strings.Replace(string(data), `"size":9`, `"size":0`, 1),
	} {
		if err := shared.Bucket.WriteAll(t.Context(), newest, []byte(damaged), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Add(t.Context(), requestFor(l, 9, 10)); !errors.Is(err, auditstore.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := shared.Bucket.WriteAll(t.Context(), newest, data, nil); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, w, l, 9, 10)
}

func TestLogsOfAWitness(t *testing.T) {
	t.Parallel()
	l := tlogtest.New("log.example").Grow(9, "entry ")
	old := tlogtest.New("log.example").Grow(9, "entry ")
	old.Key = tlogtest.Key("the key before")
	renamed := tlogtest.New("key.example")
	renamed.Grow(9, "entry ")
	store := openStore(t, t.TempDir())
	w, err := New(store, "w.example", tlogtest.Key("w"), []Log{{Key: l.Verifier()}, {Key: old.Verifier()}, {Key: renamed.Verifier(), Origin: "origin of another name"}})
	if err != nil {
		t.Fatal(err)
	}
	mustAdd(t, w, old, 0, 5)
	mustAdd(t, w, l, 5, 9)
	if got := fmt.Sprint(w.Origins()); got != "[log.example origin of another name]" {
		t.Error(got)
	}
	request := "old 0\n\n" + string(renamed.Sign(strings.Replace(renamed.Body(9), "key.example", "origin of another name", 1)))
	if _, err := w.Add(t.Context(), []byte(request)); err != nil {
		t.Error(err)
	}
	for _, bad := range []struct {
		name string
		log  Log
	}{{"w.example", Log{Key: "x"}}, {"a b", Log{Key: l.Verifier()}}, {"w.example", Log{Key: tlogtest.Witness("w1.example")}}} {
		if _, err := New(store, bad.name, tlogtest.Key("w"), []Log{bad.log}); err == nil {
			t.Errorf("%+v", bad)
		}
	}
}

func TestBusyWitness(t *testing.T) {
	t.Parallel()
	l := tlogtest.New("log.example").Grow(9, "entry ")
	w := aWitness(t, l)
	w.logs["log.example"].turn <- struct{}{} // another request is under way
	ctx := canceled(t)
	if _, err := w.Add(ctx, requestFor(l, 0, 9)); !errors.Is(err, ctx.Err()) {
		t.Errorf("%v", err)
	}
	<-w.logs["log.example"].turn
	mustAdd(t, w, l, 0, 9)
}
