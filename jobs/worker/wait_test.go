package worker

import (
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/audittest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/simlog"
)

// A run says which epoch it waits for, why, and until when, and no more once it is there.
func TestRunSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	w := audittest.New(t, simlog.Options{Epochs: 6})
	late := map[uint64][]byte{}
	keys := map[uint64]string{}
	for _, epoch := range []uint64{3, 5} {
		key := w.KeyOf(t, epoch)
		batch, err := w.Log.ReadAll(t.Context(), key)
		jobstest.Must(t, err)
		jobstest.MoveObject(t, w.Log, key, "")
		late[epoch], keys[epoch] = batch, key
	}
	publish := func(epoch uint64) {
		if key := keys[epoch]; key != "" {
			jobstest.Must(t, w.Log.WriteAll(t.Context(), key, late[epoch], nil))
			keys[epoch] = ""
		}
	}
	var said []uint64
	got, err := runRange(t.Context(), queuetest.Miniredis(t), w.Auditor(t), RunConfig{From: 1, To: 6, NotPublishedWait: time.Minute,
		Worker: Config{NotYetDelay: time.Millisecond},
		Waiting: func(wait *Wait) {
			if wait == nil || keys[3] != "" && wait.More == 0 { // not both were tried yet, in either order
				return
			}
			if !strings.Contains(wait.Why, "not published") || time.Until(wait.Until) > time.Minute {
				t.Errorf("%+v", wait)
			}
			if len(said) == 0 || said[len(said)-1] != wait.Epoch {
				said = append(said, wait.Epoch)
			}
			publish(wait.Epoch)
		}})
	if err != nil || got.Verified != 6 {
		t.Errorf("%+v, %v", got, err)
	}
	if len(said) == 0 || said[len(said)-1] != 5 {
		t.Errorf("it said that it waits for %v, want 5 at last", said)
	}
}
