package tlogproof

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/transparency/tlogtest"
	"golang.org/x/mod/sumdb/note"
)

var update = flag.Bool("update", false, "write the files that others check anew")

// TestGolden pins what a proof and a statement are, to the byte. scripts/tlog-check checks the same
// files by code of others.
func TestGolden(t *testing.T) {
	t.Parallel()
	l, entries := aLog(t)
	checkpoint := l.Checkpoint(10)
	var keys []string
	for _, name := range []string{"w1.example", "w2.example"} {
		c, err := NewCosigner(name, tlogtest.Key(name))
		if err != nil {
			t.Fatal(err)
		}
		signed, err := note.Sign(&note.Note{Text: l.Body(10)}, c.At(at))
		if err != nil {
			t.Fatal(err)
		}
		checkpoint = append(checkpoint, bytes.TrimPrefix(signed, []byte(l.Body(10)+"\n"))...)
		keys = append(keys, c.Key())
	}
	statementKey, statement := aStatement(t, TierVerified)
	files := map[string][]byte{
		"verdict.tlog-proof": Format(entries[3], 3, l.Inclusion(10, 3), checkpoint),
		"absence.tlog-proof": Format(entries[5], 5, l.Inclusion(10, 5), checkpoint),
		"verified.statement": statement,
		"keys.txt":           []byte(strings.Join(append([]string{l.Verifier()}, append(keys, statementKey)...), "\n") + "\n"),
	}
	for name, data := range files {
		path := "testdata/" + name
		if *update {
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(path); err != nil || !bytes.Equal(want, data) {
			t.Errorf("%s is not what is made now: %v", path, err)
		}
	}
}
