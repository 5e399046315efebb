package transparency

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"github.com/ktaudit/ktaudit/verdict"
	"golang.org/x/mod/sumdb/tlog"
)

// golden are the objects in a golden file.
func golden(t testing.TB, name string) (all [][]byte) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "internal", "golden", "testdata", name+".txt"))
	must(t, err)
	for object := range strings.SplitSeq("\n"+string(data), "\n== ") {
		if _, text, ok := strings.Cut(object, "\n"); ok {
			text = strings.ReplaceAll(text, `"TIME"`, `"2026-11-27T06:00:00Z"`)
			all = append(all, []byte(strings.TrimSuffix(text, "\n")+"\n"))
		}
	}
	return all
}

func FuzzPlan(f *testing.F) {
	for _, data := range golden(f, "tlog-plan") {
		if _, err := decodePlan(data); err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := decodePlan(data)
		if err != nil {
			return
		}
		again, err := p.encode()
		must(t, err)
		if q, err := decodePlan(again); err != nil || q.To != p.To || q.From != p.From || len(q.Absent) != len(p.Absent) {
			t.Errorf("%q reads as %+v, and its canonical form as %+v, %v", data, p, q, err)
		}
		if p.To.Size <= p.From.Size || p.To.Size-p.From.Size > MaxAppend {
			t.Errorf("%+v", p)
		}
	})
}

func FuzzEvent(f *testing.F) {
	for _, data := range golden(f, "tlog-event") {
		if _, err := DecodeEvent(data); err != nil {
			f.Fatalf("%q: %v", data, err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := DecodeEvent(data)
		if err != nil {
			return
		}
		again, err := e.encode()
		must(t, err)
		if _, err := DecodeEvent(again); err != nil {
			t.Error(err)
		}
		_, isVerdict := verdict.Decode(data)
		_, isAbsence := verdict.DecodeAbsence(data)
		if isVerdict == nil || isAbsence == nil {
			t.Errorf("%q is an event and something else", data)
		}
	})
}

func FuzzStart(f *testing.F) {
	for _, data := range golden(f, "tlog-start") {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l := &Log{namespace: "golden.key-transparency.v1", kind: Verdicts}
		first, err := l.readStart(data)
		if err == nil && verdict.CheckKey(l.namespace, first) != nil || (err == nil) != (l.first != nil) {
			t.Errorf("%q reads as %d, %v", data, first, err)
		}
	})
}

func FuzzEntry(f *testing.F) {
	for _, name := range []string{"tlog-absent", "verdict-fixed-times"} {
		for _, data := range golden(f, name) {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, isVerdict := verdict.Decode(data)
		_, isAbsence := verdict.DecodeAbsence(data)
		if isVerdict == nil && isAbsence == nil {
			t.Errorf("%q is a verdict and an absence", data)
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	for _, data := range golden(f, "tlog-checkpoint") {
		if _, err := ParseCheckpoint(data); err != nil {
			f.Fatalf("%q: %v", data, err)
		}
		f.Add(data)
	}
	f.Add([]byte("\n0\n" + strings.Repeat("0", 42) + "1=\n\n— 0 00000000\n")) // bits at the end that are read over
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseCheckpoint(data)
		if err != nil {
			return
		}
		if c.N < 0 || c.N > verdict.MaxEpoch || !bytes.HasPrefix(data, []byte(c.String())) {
			t.Errorf("%q reads as %+v", data, c.Checkpoint)
		}
		if c.Verify(Own("auditor.example.org")) == nil {
			t.Errorf("%q is signed by nobody", data)
		}
	})
}

func FuzzTile(f *testing.F) {
	f.Add([]byte("\x00\x01a\x00\x00"), uint8(2), uint8(1))
	f.Add(bytes.Repeat([]byte{1}, 256*32), uint8(0), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, width, part uint8) {
		for _, level := range []int{entries, 0} {
			tile := tlog.Tile{H: torchwood.TileHeight, L: level, W: int(width) + 1}
			got, err := cut(data, tile, min(int(part)+1, tile.W))
			if err == nil && !bytes.HasPrefix(data, got) {
				t.Errorf("%q is cut to %q", data, got)
			}
		}
	})
}
