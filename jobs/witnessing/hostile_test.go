package witnessing

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/transparency"
)

// One witness that says each time that it knows another history neither keeps the log of others
// from going on nor raises incidents without end, nor keeps another's word from being an incident.
func TestHostileWitnessHoldsNothingUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	l := w.loop(t)
	verdictsOnly := func(answer func() (int, string)) func(string) (int, string) {
		return func(origin string) (int, string) {
			if strings.HasSuffix(origin, "/events") {
				return 0, ""
			}
			return answer()
		}
	}
	w.witnesses[0].set(verdictsOnly(func() (int, string) { return http.StatusUnprocessableEntity, "" }))
	w.judge(t, 1, 1)
	_ = w.round(t, l, 0)
	var size int
	w.witnesses[0].set(verdictsOnly(func() (int, string) { return http.StatusConflict, fmt.Sprintln(size) }))
	const rounds = maxOpen + 5
	for i := range rounds {
		size = i + 2
		w.judge(t, uint64(i+2), uint64(i+2))
		_ = w.round(t, l, time.Duration(i+1)*minute)
		if c := w.mirror(t); c.N != int64(size) {
			t.Fatalf("the mirror has %d of %d entries", c.N, size)
		}
	}
	list, err := incident.ReadList(t.Context(), w.Store, namespace)
	jobstest.Must(t, err)
	if len(list.Open) != maxOpenOfWitness {
		t.Errorf("%d incidents are open", len(list.Open))
	}
	w.witnesses[1].set(verdictsOnly(func() (int, string) { return http.StatusConflict, fmt.Sprintln(size) }))
	w.witnesses[0].set(nil)
	size++
	w.judge(t, uint64(size), uint64(size))
	_ = w.round(t, l, rounds*minute)
	if list, err = incident.ReadList(t.Context(), w.Store, namespace); err != nil || len(list.Open) <= maxOpenOfWitness {
		t.Errorf("%d incidents are open, %v: the other witness is not heard", len(list.Open), err)
	}
}

// Once the incident of a changed store is acknowledged, it is still said that the log stands.
func TestChangedLogIsStalled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	w.judge(t, 1, 5)
	jobstest.Must(t, w.round(t, w.loop(t), 0))
	key := namespace + "/tlog/verdicts/tile/0/000.p/5"
	data, err := w.Bucket.ReadAll(t.Context(), key)
	jobstest.Must(t, err)
	data[7] ^= 1
	jobstest.Must(t, w.Bucket.WriteAll(t.Context(), key, data, nil))
	w.judge(t, 6, 6)
	l := w.loop(t)
	for _, after := range []time.Duration{minute, 30 * minute, 62 * minute} {
		if err := w.round(t, l, after); !errors.Is(err, ErrChanged) {
			t.Fatal(err)
		}
	}
	w.wantOpen(t, "verdict_log_changed/verdicts", "verdict_log_stalled/log")
}

// Whoever makes appending fail does not keep the store from being held against what was signed.
func TestFaultDoesNotHideAChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	w.judge(t, 1, 5)
	jobstest.Must(t, w.round(t, w.loop(t), 0))
	jobstest.Must(t, w.Bucket.WriteAll(t.Context(), namespace+"/tlog/event/000000000/000000000000.json", []byte("junk"), nil))
	jobstest.Must(t, w.Bucket.Delete(t.Context(), namespace+"/verdicts/000000000/000000000003.json"))
	if err := w.round(t, w.loop(t), minute); !errors.Is(err, auditstore.ErrCorrupt) {
		t.Fatal(err)
	}
	w.wantOpen(t, "verdict_log_changed/verdicts")
}

// That other witnesses are required now says nothing against the store: they are asked, and what
// they cosign takes the place of what is not enough any more.
func TestOtherWitnessesAreConfigured(t *testing.T) {
	t.Parallel()
	for _, answers := range []bool{true, false} {
		w := newWorld(t, 1)
		w.judge(t, 1, 5)
		jobstest.Must(t, w.round(t, w.loop(t), 0))
		w.witnesses = []*scripted{newWitness(t, "another.example")}
		if !answers {
			w.witnesses[0].set(func(string) (int, string) { return http.StatusNotFound, "" })
		}
		l := w.loop(t)
		jobstest.Must(t, w.round(t, l, minute))
		jobstest.Must(t, w.round(t, l, 20*minute))
		w.wantOpen(t)
		c, err := transparency.Open(w.Store, namespace, transparency.Verdicts).Witnessed(t.Context())
		jobstest.Must(t, err)
		if enough := c.Verify(w.log(t, transparency.Verdicts).Witnessed) == nil; enough != answers {
			t.Errorf("%v: enough cosignatures are on record: %v", answers, enough)
		}
	}
}
