package verdict

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func anAbsence() Absence {
	return Absence{
		Schema: 1, Namespace: "example", Epoch: 7, Outcome: NotPublished, By: "Alex <oncall>", Reason: "numbers were skipped",
		At: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC),
	}
}

func TestAbsenceIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	a := anAbsence()
	data, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(data), "\n") != 1 {
		t.Errorf("not one line: %s", data)
	}
	if got, err := DecodeAbsence(data); err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("read %+v, %v; wrote %+v", got, err, a)
	}
	if _, err := Decode(data); err == nil {
		t.Error("it passes for a verdict")
	}
	for _, later := range []string{`{"schema":2}`, `{"schema":2,"epoch":"7"}`} {
		if _, err := DecodeAbsence([]byte(later)); !errors.Is(err, ErrNewerSchema) {
			t.Errorf("%s: %v", later, err)
		}
	}
	if _, err := DecodeAbsence([]byte(strings.Repeat(" ", MaxAbsenceBytes) + string(data))); err == nil {
		t.Error("read without an end")
	}
}

func TestAbsenceThatMayNotBeRecorded(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Absence){
		"a later schema":                  func(a *Absence) { a.Schema = 2 },
		"a namespace that climbs":         func(a *Absence) { a.Namespace = "../x" },
		"an epoch beyond the layout":      func(a *Absence) { a.Epoch = MaxEpoch + 1 },
		"a verdict's outcome":             func(a *Absence) { a.Outcome = Verified },
		"nobody who says so":              func(a *Absence) { a.By = "" },
		"no time":                         func(a *Absence) { a.At = time.Time{} },
		"control characters in the words": func(a *Absence) { a.Reason = "a\nb" },
	} {
		a := anAbsence()
		change(&a)
		if _, err := a.Encode(); err == nil {
			t.Errorf("%s: recorded", name)
		}
	}
}
