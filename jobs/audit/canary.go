package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/canary"
	"github.com/ktaudit/ktaudit/jobs/observe"
	"github.com/ktaudit/ktaudit/jobs/verify"
	"github.com/ktaudit/ktaudit/validator"
)

// TestJudge tests the judge with a built-in proof, before any epoch is judged.
func (a *Auditor) TestJudge(ctx context.Context) error {
	if a.Canary == nil {
		return nil
	}
	return a.tested(ctx, a.Canary.TestReference(ctx, a.Configuration))
}

// testJudge tests the judge with the proof that it has just verified, or with a built-in one if
// that is large, so that a large epoch waits for nothing.
func (a *Auditor) testJudge(ctx context.Context, t *attempt, name validator.Name) error {
	began := time.Now()
	defer func() { t.Stage(observe.Verify, began) }()
	if !t.sample.Whole() {
		return a.tested(ctx, a.Canary.TestReference(ctx, a.Configuration))
	}
	return a.tested(ctx, a.Canary.Test(ctx, name, t.sample.Proof(), a.Configuration))
}

// tested reports what came of a test. The alert comes before the error, and whoever tries an epoch
// of the log again raises it again (see refuse).
func (a *Auditor) tested(ctx context.Context, err error) error {
	broken, ok := errors.AsType[*canary.BrokenError](err)
	if err == nil || ok {
		observe.MetricsOr(a.Metrics).CanaryTested(a.Namespace, ok)
	}
	if !ok {
		a.Log.Debug().Str("namespace", a.Namespace).Err(err).Msg("canary: the judge was tested with a damaged proof")
		return err
	}
	a.Log.Error().Str("namespace", a.Namespace).Err(err).Msg("canary: the judge is broken: this process judges no more")
	return a.raiseCanary(ctx, broken)
}

// refuse returns an error once the judge is known to be broken.
func (a *Auditor) refuse(ctx context.Context) error {
	if broken, ok := errors.AsType[*canary.BrokenError](a.Canary.Broken()); ok {
		return a.raiseCanary(ctx, broken)
	}
	return nil
}

// raiseCanary raises the alert, which is one however often it is raised, and returns broken, with
// what kept the alert from being raised. A worker that is told to stop still raises it.
func (a *Auditor) raiseCanary(ctx context.Context, broken *canary.BrokenError) error {
	ctx, cancel := wait.Outlive(ctx, verify.SaveTimeout)
	defer cancel()
	return errors.Join(broken, a.incidents().Raise(ctx, canaryAlert(a.Namespace, broken.Epoch, a.Software, broken)))
}

// canaryAlert is the alert on a proof that ktaudit damaged, and verified all the same. The epoch is
// 0 if the proof was built in.
func canaryAlert(namespace string, epoch uint64, software string, broken error) alert.Alert {
	return alert.Alert{
		Kind: alert.Canary, Namespace: namespace, Incident: fmt.Sprintf("%s/%012d", alert.Canary, epoch), Epoch: epoch, Detail: software + ": " + broken.Error(),
		Summary: "a worker of " + namespace + " verified a proof that it had damaged itself, and judges no more",
	}
}
