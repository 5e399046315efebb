package canary

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

var configurations = []validator.Configuration{validator.WhatsAppV1(), validator.Experimental("another label")}

func TestAWorkingJudgeRejectsBothDamages(t *testing.T) {
	t.Parallel()
	for _, configuration := range configurations {
		t.Run(configuration.String(), func(t *testing.T) {
			t.Parallel()
			for epoch, proof := range proofs(t, configuration) {
				var reasons []verdict.Reason
				c := New(1, func(ctx context.Context, n validator.Name, r io.Reader, k validator.Configuration, o validator.Options) (validator.Result, error) {
					result, err := validator.Verify(ctx, n, r, k, o)
					reasons = append(reasons, result.Reason)
					return result, err
				})
				if err := c.Test(t.Context(), proof.name, proof.bytes, configuration); err != nil {
					t.Fatalf("epoch %d: %v", epoch, err)
				}
				if len(reasons) != 2 || reasons[0] != verdict.PreviousDigestMismatch && reasons[0] != verdict.DigestMismatch || reasons[1] != verdict.OverlappingLabels {
					t.Errorf("epoch %d: rejected for %q", epoch, reasons)
				}
			}
		})
	}
}

// A proof that is copied without damage must still verify, or the copy would be rejected for
// another reason than its damage.
func TestCopiesProveTheSame(t *testing.T) {
	t.Parallel()
	for _, configuration := range configurations {
		for epoch, proof := range proofs(t, configuration) {
			elements, err := decode(t.Context(), proof.bytes)
			jobstest.Must(t, err)
			copied := encode(elements, func(_ int, e element) []element { return []element{e} })
			result, err := validator.Verify(t.Context(), proof.name, bytes.NewReader(copied), configuration, validator.Options{})
			if err != nil || result.Outcome != validator.Verified {
				t.Errorf("%s, epoch %d: %v, %v", configuration, epoch, result, err)
			}
		}
	}
}

// Unknown fields are skipped by judges, so damage there would change nothing. A log that fills its
// proofs with them must not end the audit.
func TestUnknownFieldsAreNotDamaged(t *testing.T) {
	t.Parallel()
	proof := proofs(t, validator.WhatsAppV1())[3]
	padded := append(append([]byte{0x1a, 0x7f}, bytes.Repeat([]byte("x"), 0x7f)...), proof.bytes...)
	for range 50 {
		jobstest.Must(t, New(1, validator.Verify).Test(t.Context(), proof.name, padded, validator.WhatsAppV1()))
	}
}

func TestReferenceProofs(t *testing.T) {
	t.Parallel()
	for _, form := range validator.ConfigurationKinds() {
		configuration, err := validator.ParseConfiguration(form)
		jobstest.Must(t, err)
		jobstest.Must(t, New(1, validator.Verify).TestReference(t.Context(), configuration))
	}
}

// sabotaged judges are wrong in one way each.
var sabotaged = map[string]Judge{
	"verifies whatever hashes": func(ctx context.Context, n validator.Name, r io.Reader, c validator.Configuration, o validator.Options) (validator.Result, error) {
		result, err := validator.Verify(ctx, n, r, c, o)
		if result.Reason == verdict.OverlappingLabels {
			result = validator.Result{Outcome: validator.Verified}
		}
		return result, err
	},
	"compares no digests": func(ctx context.Context, n validator.Name, r io.Reader, c validator.Configuration, o validator.Options) (validator.Result, error) {
		result, err := validator.Verify(ctx, n, r, c, o)
		if result.Reason == verdict.DigestMismatch || result.Reason == verdict.PreviousDigestMismatch {
			result = validator.Result{Outcome: validator.Verified}
		}
		return result, err
	},
	"rejects nothing": func(context.Context, validator.Name, io.Reader, validator.Configuration, validator.Options) (validator.Result, error) {
		return validator.Result{Outcome: validator.Verified}, nil
	},
}

func TestSabotagedJudgesAreFoundOut(t *testing.T) {
	t.Parallel()
	for name, judge := range sabotaged {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proof := proofs(t, validator.WhatsAppV1())[2]
			for what, test := range map[string]func(*Canary) error{
				"proof of the log": func(c *Canary) error { return c.Test(t.Context(), proof.name, proof.bytes, validator.WhatsAppV1()) },
				"built-in proof":   func(c *Canary) error { return c.TestReference(t.Context(), validator.WhatsAppV1()) },
			} {
				c := New(1, judge)
				err := test(c)
				broken, ok := errors.AsType[*BrokenError](err)
				if !ok || c.Broken() != error(broken) {
					t.Fatalf("%s: error is %v, Broken is %v", what, err, c.Broken())
				}
			}
		})
	}
}

func TestAJudgeThatRejectsEverythingIsFoundOut(t *testing.T) {
	t.Parallel()
	c := New(1, func(context.Context, validator.Name, io.Reader, validator.Configuration, validator.Options) (validator.Result, error) {
		return validator.Result{Outcome: validator.Rejected, Reason: verdict.DigestMismatch}, nil
	})
	if err := c.TestReference(t.Context(), validator.WhatsAppV1()); err == nil || !strings.Contains(err.Error(), "built-in proof is right") {
		t.Errorf("error is %v", err)
	}
}

// What cannot be judged says nothing about the judge.
func TestFaultsBreakNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, proof := New(1, validator.Verify), proofs(t, validator.WhatsAppV1())[2]
	if err := c.Test(ctx, proof.name, proof.bytes, validator.WhatsAppV1()); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if err := c.Broken(); err != nil {
		t.Errorf("Broken is %v", err)
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	c, chosen := New(3, nil), ""
	for range 7 {
		chosen += map[bool]string{true: "x", false: "-"}[c.Choose()]
	}
	if chosen != "x--x--x" {
		t.Errorf("one of three: %s", chosen)
	}
	if off := New(0, nil); off.Choose() || off.Broken() != nil || off.TestReference(t.Context(), validator.WhatsAppV1()) != nil {
		t.Error("a canary that is off tests")
	}
}

func TestTheFirstFailureStays(t *testing.T) {
	t.Parallel()
	c, proof := New(1, sabotaged["rejects nothing"]), proofs(t, validator.WhatsAppV1())[2]
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() { _ = c.Test(t.Context(), proof.name, proof.bytes, validator.WhatsAppV1()) })
	}
	group.Wait()
	first := c.Broken()
	if err := c.Test(t.Context(), proof.name, proof.bytes, validator.WhatsAppV1()); err == nil || c.Broken() != first {
		t.Errorf("then %v; Broken was %v and is %v", err, first, c.Broken())
	}
}

type namedProof struct {
	name  validator.Name
	bytes []byte
}

// proofs are those of a small log, by epoch.
func proofs(t *testing.T, c validator.Configuration) map[uint64]namedProof {
	t.Helper()
	bucket := jobstest.OpenMemory(t)
	_, err := simlog.Write(t.Context(), bucket, nil, simlog.Options{Namespace: jobstest.Namespace, Epochs: 12, Configuration: c}, nil)
	jobstest.Must(t, err)
	all := map[uint64]namedProof{}
	for objects := bucket.List(nil); ; {
		object, err := objects.Next(t.Context())
		if err == io.EOF {
			return all
		}
		jobstest.Must(t, err)
		name, err := validator.ParseName(object.Key)
		jobstest.Must(t, err)
		proof, err := bucket.ReadAll(t.Context(), object.Key)
		jobstest.Must(t, err)
		all[name.Epoch] = namedProof{name, proof}
	}
}
