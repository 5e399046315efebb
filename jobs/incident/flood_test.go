package incident_test

import (
	"fmt"
	"testing"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/jobs/incident"
)

// However much is open or was ever acknowledged: what nobody has acknowledged counts, is listed
// first and holds back the head, and what is acknowledged never counts.
func TestAFloodHidesNothingAndEnds(t *testing.T) {
	t.Parallel()
	const flood = incident.MaxListed + 5
	put := func(t *testing.T, store *jobstest.ArchiveStore, folder, name string) {
		t.Helper()
		jobstest.Must(t, store.Bucket.WriteAll(t.Context(), jobstest.Namespace+"/incidents/"+folder+"/"+name+".json", []byte("{}"), nil))
	}
	late := alert.OfDoubleName(jobstest.Namespace, 7, names(7), "")
	for _, c := range []struct {
		name          string
		kind          string
		acknowledged  int
		late          bool // one more that nobody has acknowledged, behind all others
		wrong, strict bool
		count         int // of the kind, that nobody has acknowledged
		head          uint64
	}{
		{"warnings", "backlog", 0, false, false, false, flood, 100},
		{"warnings, and one more", "backlog", 0, true, true, true, flood, 6},
		{"all acknowledged", "contradiction", flood, false, false, true, 0, 100},
		{"all acknowledged, and one more", "contradiction", flood, true, true, true, 0, 6},
		{"all but the last", "contradiction", flood - 1, false, true, true, 1, 100},
		{"none acknowledged", "contradiction", 0, true, true, true, flood, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := jobstest.NewArchiveStore(t)
			for i := range flood {
				name := fmt.Sprintf("%s.%012d", c.kind, 1000+i)
				put(t, store, "open", name)
				if i < c.acknowledged {
					put(t, store, "acknowledged", name)
				}
				put(t, store, "acknowledged", fmt.Sprintf("withdrawn.%012d", i)) // which has ended
			}
			if c.late {
				jobstest.Must(t, newRecorder(store.Store).Raise(t.Context(), late))
			}
			l, err := incident.ReadList(t.Context(), store.Store, jobstest.Namespace)
			jobstest.Must(t, err)
			if len(l.Open) != incident.MaxListed || !l.More || l.Wrong(false) != c.wrong || l.Wrong(true) != c.strict {
				t.Errorf("%d are listed, more: %v, wrong: %v, strictly: %v", len(l.Open), l.More, l.Wrong(false), l.Wrong(true))
			}
			if got := l.Unacknowledged()[alert.Kind(c.kind)]; got != c.count {
				t.Errorf("%d are counted, want %d", got, c.count)
			}
			if head, by := l.Limit(1, 100); head != c.head {
				t.Errorf("the head is %d, held back by %q, want %d", head, by, c.head)
			}
			if first := l.Open[0]; first.Acknowledged && (c.wrong || c.count > 0) {
				t.Errorf("%s is listed first", first.Incident)
			}
		})
	}
}

// A flood that nobody has acknowledged counts in any range, and holds back the head at its lowest.
func TestWhatIsNotListedHoldsBackTheHead(t *testing.T) {
	t.Parallel()
	store := jobstest.NewArchiveStore(t)
	for i := range incident.MaxListed + 5 {
		name := fmt.Sprintf("contradiction.%012d", 1000+i)
		jobstest.Must(t, store.Bucket.WriteAll(t.Context(), jobstest.Namespace+"/incidents/open/"+name+".json", nil, nil))
	}
	jobstest.Must(t, newRecorder(store.Store).Raise(t.Context(), alert.OfDoubleName(jobstest.Namespace, 7, names(7), "")))
	l, err := incident.ReadList(t.Context(), store.Store, jobstest.Namespace)
	jobstest.Must(t, err)
	for _, c := range []struct{ from, head, want uint64 }{{1, 5, 5}, {1, 100, 6}, {8, 100, 0}} {
		if head, by := l.Limit(c.from, c.head); head != c.want || (head != c.head) != (by != "") {
			t.Errorf("from %d: the head is %d, held back by %q, want %d", c.from, head, by, c.want)
		}
	}
	if in := l.In(1, 5); len(in.Open) != 0 || !in.Wrong(false) {
		t.Errorf("epochs 1 to 5: %d are listed, wrong: %v", len(in.Open), in.Wrong(false))
	}
}
