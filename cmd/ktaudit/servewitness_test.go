package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/transparency/tlogtest"
	"github.com/ktaudit/ktaudit/transparency/witnesses"
	"golang.org/x/mod/sumdb/tlog"
)

// TestServeWitness has two processes over one audit store cosign a log by turns, in the way in
// which an auditor asks.
func TestServeWitness(t *testing.T) {
	t.Parallel()
	l := tlogtest.New("other.example.org/example").Grow(30, "entry ")
	fork := tlogtest.New("other.example.org/example").Grow(5, "entry ").Grow(30, "other ")
	a := newAudited(t, "1")
	a.write("witness.key", hex.EncodeToString(tlogtest.Key("w.example").Seed()))
	config := fmt.Sprintf("audit_store: ./audit\nwitness:\n  name: w.example\n  key: {file: witness.key}\n  logs: [%s]\n"+
		"namespaces:\n  - {namespace: example, log_directory: ./log}\n", l.Verifier())
	a.write("ktaudit.yaml", config)
	servers := []*served{a.serve("--witness"), a.serve("--witness")}
	var asked []*witnesses.Witnesses
	for _, s := range servers {
		w, err := witnesses.New(witnesses.Config{Members: []witnesses.Member{{URL: "http://" + s.api + "/witness", Key: tlogtest.Witness("w.example")}}, Require: 1})
		if err != nil {
			t.Fatal(err)
		}
		asked = append(asked, w)
	}
	ask := func(i int, l *tlogtest.Log, size int64) (bool, error) {
		answers := asked[i].Ask(t.Context(), l.Checkpoint(size), l.Tree(size), func(old int64) (tlog.TreeProof, error) { return l.Consistency(size, old), nil })
		return asked[i].Met(asked[i].Assemble(l.Checkpoint(size), answers)), answers[0].Err
	}
	for size := int64(1); size <= 30; size += 4 {
		if met, err := ask(int(size/4)%2, l, size); !met {
			t.Errorf("%d entries: %v", size, err)
		}
	}
	for i := range servers {
		if met, err := ask(i, fork, 30); met || err == nil {
			t.Errorf("a fork was cosigned: %v", err)
		}
	}
	get := func(path string) (int, string) {
		t.Helper()
		response, err := http.Get("http://" + servers[0].api + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	if status, body := get("/witness/"); status != 200 || !strings.Contains(body, tlogtest.Witness("w.example")) || !strings.Contains(body, l.Origin) {
		t.Errorf("%d: %s", status, body)
	}
	if status, body := get("/namespaces"); status != 200 || !strings.Contains(body, "example") {
		t.Errorf("the API beside it: %d: %s", status, body)
	}

	// Without the flag nothing is cosigned, and without the section the flag is a mistake.
	without := a.serve()
	response, err := http.Post("http://"+without.api+"/witness/add-checkpoint", "text/plain", strings.NewReader("old 0\n\n"))
	if err != nil || response.StatusCode != 404 {
		t.Errorf("%v, %v", response, err)
	}
	a.write("ktaudit.yaml", config[:strings.Index(config, "witness:")]+config[strings.Index(config, "namespaces:"):])
	out, err := a.command("serve", "--config", "ktaudit.yaml", "--witness", "--api-listen", "127.0.0.1:0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "no section witness") {
		t.Errorf("%v: %s", err, out)
	}
}
