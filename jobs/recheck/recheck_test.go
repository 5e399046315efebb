package recheck

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/audittest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/audit"
	"github.com/ktaudit/ktaudit/jobs/begun"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
)

const minute, hour = time.Minute, time.Hour

// world is a log whose epochs were all audited, and what the looking again puts on the queue.
type world struct {
	*audittest.World
	auditor *audit.Auditor
	began   time.Time
	config  Config
	asked   []uint64 // to be audited again
	looked  map[string]int
}

func newWorld(t *testing.T, epochs uint64) *world {
	t.Helper()
	w := &world{World: audittest.New(t, simlog.Options{Epochs: epochs}), began: time.Now(), looked: map[string]int{}}
	w.auditor = w.Auditor(t)
	for epoch := range epochs {
		if _, err := w.auditor.Audit(t.Context(), epoch+1); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(_ context.Context, epochs []uint64) error {
		w.asked = append(w.asked, epochs...)
		return nil
	}
	w.config = Config{
		Settings:  Settings{After: []time.Duration{hour, 24 * hour}},
		Namespace: jobstest.Namespace, Store: w.Store, Fetcher: w.Fetcher, Log: w.Log,
		Newest: func() uint64 { return epochs }, Reaudit: ask, Sample: ask, Incidents: incident.Recorder{Store: w.Store, Log: zerolog.Nop()},
		Period: 5 * minute, Logger: zerolog.Nop(),
	}
	return w
}

// round does a round so long after the epochs were judged, and returns how many epochs it looked
// at, by what that came to.
func (w *world) round(t *testing.T, l *Loop, after time.Duration) map[string]int {
	t.Helper()
	r := newRound(l, w.began.Add(after))
	if err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r.results
}

func (w *world) want(t *testing.T, l *Loop, after time.Duration, result string, n int) {
	t.Helper()
	if got := w.round(t, l, after); got[result] != n {
		t.Errorf("after %s: %v, want %d %s", after, got, n, result)
	}
}

func (w *world) wantAlerts(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for _, name := range jobstest.Notices(t, w.Store) {
		got = append(got, name[:min(len(name), strings.IndexByte(name+".", '.')+13)])
	}
	if !slices.Equal(got, want) {
		t.Errorf("alerts are %q, want %q", got, want)
	}
}

// rewrite writes an epoch's batch anew; with nil the same bytes.
func (w *world) rewrite(t *testing.T, epoch uint64, data []byte) {
	t.Helper()
	key := w.KeyOf(t, epoch)
	if data == nil {
		var err error
		data, err = w.Log.ReadAll(t.Context(), key)
		jobstest.Must(t, err)
	}
	jobstest.Must(t, w.Log.WriteAll(t.Context(), key, data, nil))
}

// reaudit does what a worker does with the epochs that were put on the queue, and returns which.
func (w *world) reaudit(t *testing.T) []uint64 {
	t.Helper()
	asked := w.asked
	w.asked = nil
	for _, epoch := range asked {
		_, _ = w.auditor.Reaudit(t.Context(), epoch) // what it found is on record
	}
	return asked
}

func TestEachAgeOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 12)
	l := New(w.config)
	for _, step := range []struct {
		after time.Duration
		looks int
	}{{30 * minute, 0}, {62 * minute, 12}, {70 * minute, 0}, {25 * hour, 12}, {26 * hour, 0}, {1000 * hour, 0}} {
		w.want(t, l, step.after, same, step.looks)
		w.want(t, New(w.config), step.after, same, 0) // another scheduler, or this one after a restart
	}
	w.wantAlerts(t)
	if len(w.asked) > 0 {
		t.Errorf("epochs %d are to be audited again, though nothing has changed", w.asked)
	}
}

// What came due while no scheduler ran is looked at when one does.
func TestNothingIsLeftOutByARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	w.want(t, New(w.config), 10*minute, same, 0)
	w.want(t, New(w.config), 90*hour, same, 4)
}

func TestMarkOfAWrongClockIsNotBelieved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	_, err := begun.Of(w.Store, jobstest.Namespace, task).Put(t.Context(), w.began.Add(1000*hour), []byte("{}"))
	jobstest.Must(t, err)
	w.want(t, New(w.config), 62*minute, same, 4)
	w.want(t, New(w.config), 63*minute, same, 0)
}

func TestSecondBatchIsAnEquivocationOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8)
	l := New(w.config)
	w.round(t, l, minute)
	jobstest.Must(t, w.Log.WriteAll(t.Context(), fmt.Sprintf("5/%s/%s", jobstest.DigestAfter(1), jobstest.DigestAfter(2)), []byte("x"), nil))
	w.want(t, l, 62*minute, equivocation, 1)
	w.wantAlerts(t, "1-equivocation.000000000005")
	if asked := w.reaudit(t); !slices.Equal(asked, []uint64{5}) {
		t.Errorf("epochs %d were audited again, want 5, whose batches are to be kept", asked)
	}
	w.want(t, l, 67*minute, equivocation, 0)
	w.want(t, l, 25*hour, equivocation, 1)
	w.wantAlerts(t, "1-equivocation.000000000005")
	if len(w.asked) > 0 {
		t.Errorf("epochs %d are to be audited once more", w.asked)
	}
	if e := w.Evidence(t, 5); len(e) == 0 || !strings.Contains(strings.Join(e, ""), jobstest.DigestAfter(2)) {
		t.Errorf("evidence is %q", e)
	}
}

// A batch whose name was replaced is another batch, too, and not only a change of names.
func TestReplacedNameIsAnEquivocation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8)
	l := New(w.config)
	w.round(t, l, minute)
	jobstest.MoveObject(t, w.Log, w.KeyOf(t, 5), fmt.Sprintf("5/%s/%s", jobstest.DigestAfter(1), jobstest.DigestAfter(2)))
	w.want(t, l, 62*minute, equivocation, 1)
	w.reaudit(t)
	w.wantAlerts(t, "1-equivocation.000000000005")
}

// Two neighbours swap: each is listed with other bytes.
func TestOtherBytesAreAuditedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8)
	l := New(w.config)
	w.round(t, l, minute)
	five, err := w.Log.ReadAll(t.Context(), w.KeyOf(t, 5))
	jobstest.Must(t, err)
	six, err := w.Log.ReadAll(t.Context(), w.KeyOf(t, 6))
	jobstest.Must(t, err)
	w.rewrite(t, 5, six)
	w.rewrite(t, 6, five)
	w.want(t, l, 62*minute, changed, 2)
	w.asked = nil // the queue loses both
	w.round(t, New(w.config), 67*minute)
	if asked := w.reaudit(t); !slices.Equal(asked, []uint64{5, 6}) {
		t.Errorf("epochs %d were audited again, want 5 and 6", asked)
	}
	w.wantAlerts(t, "1-contradiction.000000000005", "1-contradiction.000000000006")
	w.want(t, l, 72*minute, same, 2)
	w.round(t, l, 25*hour)
	w.round(t, New(w.config), 26*hour)
	if len(w.asked) > 0 {
		t.Errorf("epochs %d are to be audited again, though this listing was", w.asked)
	}
}

// A log that moves to another bucket writes all its batches anew.
func TestSameBytesWrittenAnewAccuseNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8)
	for epoch := uint64(1); epoch <= 8; epoch++ {
		w.rewrite(t, epoch, nil)
	}
	l := New(w.config)
	w.want(t, l, 62*minute, changed, 8)
	if asked := w.reaudit(t); len(asked) != 8 {
		t.Errorf("epochs %d were audited again, want all", asked)
	}
	w.want(t, l, 67*minute, same, 8)
	w.want(t, l, 25*hour, same, 8)
	w.wantAlerts(t)
	if len(w.asked) > 0 {
		t.Errorf("epochs %d are to be audited again", w.asked)
	}
}

func TestWithdrawnOnceSeveralAnswersSayIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8)
	var collected []string
	w.config.Incidents.Collect = func(_ context.Context, c incident.Concern) {
		collected = append(collected, fmt.Sprint(c.Epoch, c.Batches[0].Key != "", len(jobstest.Notices(t, w.Store))))
	}
	l := New(w.config)
	w.round(t, l, minute)
	batches := map[string][]byte{}
	for _, epoch := range []uint64{3, 4} {
		key := w.KeyOf(t, epoch)
		data, err := w.Log.ReadAll(t.Context(), key)
		jobstest.Must(t, err)
		batches[key] = data
		jobstest.MoveObject(t, w.Log, key, "")
	}
	w.want(t, l, 62*minute, unknown, 2)
	w.round(t, l, 65*minute)
	w.wantAlerts(t)
	l = New(w.config) // a restart begins to count anew
	w.round(t, l, 67*minute)
	w.round(t, l, 72*minute)
	w.wantAlerts(t)
	w.want(t, l, 78*minute, gone, 2)
	w.wantAlerts(t, "1-withdrawn.000000000003")
	if want := []string{"3 true 0", "4 true 0"}; !slices.Equal(collected, want) {
		t.Errorf("evidence was collected on %q, want %q: before anybody is told", collected, want)
	}
	w.round(t, l, 25*hour)
	w.round(t, New(w.config), 26*hour)
	w.round(t, l, 27*hour)
	w.wantAlerts(t, "1-withdrawn.000000000003")
	for key, data := range batches {
		jobstest.Must(t, w.Log.WriteAll(t.Context(), key, data, nil))
	}
	w.round(t, l, 28*hour)
	w.wantAlerts(t, "1-withdrawn.000000000003", "3-withdrawn.000000000003")
}

// Two schedulers come to it in the same moment, between two hours.
func TestWithdrawnIsToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8)
	other := New(w.config)
	busy := false
	w.config.Incidents.Collect = func(context.Context, incident.Concern) {
		if !busy {
			busy = true
			w.want(t, other, 139*minute, gone, 1)
		}
	}
	l := New(w.config)
	w.round(t, l, minute)
	jobstest.MoveObject(t, w.Log, w.KeyOf(t, 3), "")
	for _, after := range []time.Duration{62 * minute, 67 * minute} {
		w.round(t, l, after)
		w.round(t, other, after)
	}
	w.want(t, l, 78*minute, gone, 1)
	w.wantAlerts(t, "1-withdrawn.000000000003")
}

// A log directory that lists nothing at all is at fault, or another one.
func TestEmptyLogHasWithdrawnNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	l := New(w.config)
	for epoch := uint64(1); epoch <= 4; epoch++ {
		jobstest.MoveObject(t, w.Log, w.KeyOf(t, epoch), "")
	}
	for i := range time.Duration(10) {
		w.round(t, l, 62*minute+i*5*minute)
	}
	w.wantAlerts(t)
}

func TestAllOfHistoryHasItsTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	w.config.Settings = Settings{History: 5 * minute} // a shard in each round
	w.want(t, New(w.config), minute, same, 4)
	w.config.Settings = Settings{History: 10_000 * 24 * hour}
	w.want(t, New(w.config), minute, same, 0)
}

// One listing of a thousand epochs, instead of a thousand.
func TestManyEpochsAreListedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	jobstest.PublishNames(t, w.Log, jobstest.Span(2000, 2999)...)
	for epoch := uint64(2000); epoch <= 2999; epoch++ {
		v := jobstest.GoodVerdict(epoch)
		v.Batch.Key, v.Batch.StoredBytes = fmt.Sprintf("%d/%064x/%064x", epoch, epoch-1, epoch), 0
		_, _, err := w.Store.PutVerdict(t.Context(), v)
		jobstest.Must(t, err)
	}
	w.config.Newest = func() uint64 { return 2999 }
	for _, step := range []struct {
		log  *blob.Bucket
		most int
	}{{w.Log, 10}, {nil, 1001}} {
		w.config.Log = step.log
		r := newRound(New(w.config), w.began.Add(2*hour))
		r.Loop.upTo = w.began
		jobstest.Must(t, r.lookAtDue(t.Context()))
		if used := maxRequests - r.left; r.results[same] != 1001 || used > step.most {
			t.Errorf("%v with %d requests, want 1001 same with at most %d", r.results, used, step.most)
		}
	}
}

// A round that has asked as often as it may is gone on with, from shard to shard.
func TestRoundsAreBoundedAndGoOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	for _, epoch := range []uint64{1000, 1001, 1002, 1003, 2000, 2001, 2002, 2003} {
		jobstest.PublishNames(t, w.Log, epoch)
		v := jobstest.GoodVerdict(epoch)
		v.Batch.Key, v.Batch.StoredBytes = fmt.Sprintf("%d/%064x/%064x", epoch, epoch-1, epoch), 0
		_, _, err := w.Store.PutVerdict(t.Context(), v)
		jobstest.Must(t, err)
	}
	w.config.Log = nil
	l := New(w.config)
	l.upTo = w.began
	for _, want := range []int{5, 5, 4} {
		r := newRound(l, w.began.Add(2*hour))
		r.left = 5
		if err := r.lookAtDue(t.Context()); errors.Is(err, errNoneLeft) != (want == 5) || r.results[same] != want {
			t.Errorf("%v, %v, want %d", r.results, err, want)
		}
	}
	w.want(t, l, 2*hour+minute, same, 0)
}

func TestSampleIsTakenOnceInEachPartOfADay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 12)
	w.config.Settings = Settings{SampleOneIn: 1, SampleBytes: 1 << 40}
	midnight := w.began.UTC().Truncate(24 * hour).Add(24 * hour)
	total := 0
	for part := range time.Duration(48) {
		now := midnight.Add(part*hour/2 + minute)
		first, second := New(w.config), New(w.config)
		first.slot, second.slot = hour/2, hour/2
		for _, l := range []*Loop{first, second, first, New(w.config)} {
			if l.slot = hour / 2; l != first {
				before := len(w.asked)
				jobstest.Must(t, l.sample(t.Context(), now))
				if len(w.asked) != before {
					t.Fatal("a part of the day had its sample twice")
				}
				continue
			}
			jobstest.Must(t, l.sample(t.Context(), now))
		}
		total = len(w.asked)
	}
	// A thousand places are drawn in a day, of which 12 are epochs.
	if total < 1 || total > 60 {
		t.Errorf("%d of 12 epochs were chosen in a day, want about 12", total)
	}
}

func TestSampleIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 40)
	sizes := map[uint64]int64{}
	all := int64(0)
	for epoch := uint64(1); epoch <= 40; epoch++ {
		v, err := w.Store.Verdict(t.Context(), jobstest.Namespace, epoch)
		jobstest.Must(t, err)
		sizes[epoch] = v.Batch.StoredBytes
		all += v.Batch.StoredBytes
	}
	w.config.Settings = Settings{SampleOneIn: 1, SampleBytes: all / 4}
	midnight := w.began.UTC().Truncate(24 * hour).Add(24 * hour)
	for part := range time.Duration(24) {
		jobstest.Must(t, New(w.config).sample(t.Context(), midnight.Add(part*hour)))
	}
	stored := int64(0)
	for _, epoch := range w.asked {
		stored += sizes[epoch]
	}
	if stored == 0 || stored > all/4 {
		t.Errorf("%d bytes in a day, want some, and no more than %d", stored, all/4)
	}
}

// An epoch whose verdict is lost waits for nothing: others tell of that.
func TestLostVerdictsAreNotLookedAt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	l := New(w.config)
	w.rewrite(t, 3, nil)
	w.want(t, l, hour+minute, changed, 1)
	if l.open[3] == nil {
		t.Fatal("the epoch that was written anew does not wait")
	}
	jobstest.MoveObject(t, w.Audit, "test.key-transparency.v1/verdicts/000000000/000000000003.json", "")
	w.round(t, l, hour+10*minute)
	if l.open[3] != nil {
		t.Error("an epoch whose verdict is lost still waits")
	}
}
