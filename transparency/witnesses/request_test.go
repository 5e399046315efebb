package witnesses

import (
	"bytes"
	"testing"

	"github.com/ktaudit/ktaudit/transparency/tlogtest"
)

func FuzzParseRequest(f *testing.F) {
	l := tlogtest.New(origin).Grow(20, "entry ")
	f.Add(Request{Old: 9, Proof: l.Consistency(20, 9), Checkpoint: l.Checkpoint(20)}.Format())
	f.Add(Request{Checkpoint: l.Checkpoint(1)}.Format())
	f.Add([]byte("old 10\n\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseRequest(body)
		if err != nil {
			return
		}
		again, err := ParseRequest(r.Format())
		if err != nil || again.Old != r.Old || len(again.Proof) != len(r.Proof) || len(r.Proof) > maxProof || r.Old < 0 || !bytes.HasSuffix(body, r.Checkpoint) {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
