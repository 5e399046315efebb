package pending

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ktaudit/ktaudit/verdict"
)

func on(epoch uint64, previous, digest string) verdict.Verdict {
	return verdict.Verdict{Epoch: epoch, PreviousDigest: strings.Repeat(previous, 64), Digest: strings.Repeat(digest, 64)}
}

// A verdict waits for those entered before it that it contradicts, and for no others.
func TestEnter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p Verdicts
		leave, err := p.Enter(t.Context(), on(10, "a", "b"))
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range []verdict.Verdict{on(11, "b", "c"), on(9, "0", "a"), on(12, "e", "f"), on(10, "d", "e")} {
			leave, err := p.Enter(t.Context(), other)
			if err != nil {
				t.Fatal(err)
			}
			leave()
		}
		entered := make(chan error)
		go func() {
			leave, err := p.Enter(t.Context(), on(11, "d", "e"))
			leave()
			entered <- err
		}()
		synctest.Wait()
		select {
		case <-entered:
			t.Error("it did not wait for the verdict that it contradicts")
		default:
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		alsoLeave, err := p.Enter(ended, on(9, "0", "f"))
		alsoLeave()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a wait that was broken off: %v", err)
		}
		leave()
		if err := <-entered; err != nil {
			t.Error(err)
		}
		if len(p.byVerdict) != 0 {
			t.Errorf("%d verdicts are left", len(p.byVerdict))
		}
	})
}
