package worker

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/jobstest/audittest"
	"github.com/ktaudit/ktaudit/internal/jobstest/queuetest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/signature"
)

// A run says once which epoch is the first that waits for a key, also while it still waits itself,
// and ends if that cannot be said.
func TestRunSaysWhichKeyIsUnknown(t *testing.T) {
	t.Parallel()
	failure := errors.New("no space left")
	for name, c := range map[string]struct {
		trusted string
		wait    time.Duration
		err     error
		want    uint64
	}{
		"all are known":     {trusted: "1-"},
		"at the end":        {trusted: "-3", want: 4},
		"at the beginning":  {trusted: "3-", want: 1},
		"while it waits":    {trusted: "-3", wait: time.Hour, err: failure, want: 4},
		"cannot be said":    {trusted: "-3", err: failure, want: 4},
		"none at all known": {trusted: "100-", want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := audittest.New(t, simlog.Options{Epochs: 6})
			keys, err := signature.ParseKeys([]string{hex.EncodeToString(jobstest.Key().Public().(ed25519.PublicKey)) + "@" + c.trusted})
			jobstest.Must(t, err)
			w.Config.Keys = keys
			var said []uint64
			_, err = runRange(t.Context(), queuetest.Miniredis(t), w.Auditor(t), RunConfig{From: 1, To: 6, NotPublishedWait: c.wait,
				Worker: Config{NotYetDelay: time.Millisecond},
				Keyless: func(_ context.Context, epoch uint64, why error) error {
					if !strings.Contains(why.Error(), "key_id") {
						t.Errorf("epoch %d: %v", epoch, why)
					}
					said = append(said, epoch)
					return c.err
				}})
			if !errors.Is(err, c.err) {
				t.Errorf("error %v, want %v", err, c.err)
			}
			if c.want == 0 && len(said) > 0 || c.want != 0 && (len(said) != 1 || said[0] != c.want) {
				t.Errorf("said %v, want %d once", said, c.want)
			}
		})
	}
}
