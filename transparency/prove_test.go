package transparency

import (
	"errors"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/transparency/tlogproof"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
	"gocloud.dev/blob/memblob"
	"golang.org/x/mod/sumdb/note"
)

func TestProve(t *testing.T) {
	t.Parallel()
	store := auditstore.New(memblob.OpenBucket(nil))
	t.Cleanup(func() { _ = store.Close() })
	l := begun(t, store)
	if _, err := Open(store, namespace, Verdicts).Prove(t.Context(), first); !errors.Is(err, ErrNoCheckpoint) {
		t.Errorf("nothing is signed: %v", err)
	}
	judge(t, store, first, first+9)
	witnessed, err := advance(t.Context(), l, 6)
	must(t, err)
	witnessed.Note = tlogtest.Cosign(witnessed.Note, "w.example")
	must(t, l.PutWitnessed(t.Context(), witnessed))
	_, err = advance(t.Context(), l, 100)
	must(t, err)

	_, vkey, err := note.GenerateKey(strings.NewReader(strings.Repeat("\x00", 32)), Origin(base, namespace, Verdicts))
	must(t, err)
	k, err := tlogproof.Auditor(vkey, "")
	must(t, err)
	k, err = k.Require(1, []string{tlogtest.Witness("w.example")})
	must(t, err)
	for epoch := first; epoch < first+10; epoch++ {
		p, err := l.Prove(t.Context(), epoch)
		must(t, err)
		r, err := tlogproof.Check(p.File, k)
		isWitnessed := epoch < first+6
		if err != nil || r.Epoch != epoch || r.First != first || r.Met() != isWitnessed || p.Witnessed != isWitnessed {
			t.Errorf("epoch %d: %+v, %v", epoch, r, err)
		}
	}
	for _, epoch := range []uint64{0, first - 1, first + 10} {
		if _, err := l.Prove(t.Context(), epoch); !errors.Is(err, ErrNotCovered) {
			t.Errorf("epoch %d: %v", epoch, err)
		}
	}
}
