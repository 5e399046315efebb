package verdict

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestAbsenceIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	for _, a := range []Absence{
		{Schema: 1, Namespace: "example", Epoch: 7, Absent: Acknowledged, By: "Alex <oncall>", Reason: "numbers were skipped", At: at},
		{Schema: 1, Namespace: "example", Epoch: 7, Absent: NotPublished, Since: at.AddDate(0, 0, -7), At: at},
	} {
		data, err := a.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(data), "\n") != 1 || strings.Contains(string(data), `\u003c`) {
			t.Errorf("not one plain line: %s", data)
		}
		if got, err := DecodeAbsence(data); err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("read %+v, %v; wrote %+v", got, err, a)
		}
		if _, err := Decode(data); err == nil {
			t.Error("it passes for a verdict")
		}
	}
}

func TestAbsenceThatMayNotBeRecorded(t *testing.T) {
	t.Parallel()
	valid := Absence{Schema: 1, Namespace: "example", Epoch: 7, Absent: NotPublished, At: time.Unix(1, 0)}
	if err := valid.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Absence){
		"a later schema":                  func(a *Absence) { a.Schema = 2 },
		"a namespace that climbs":         func(a *Absence) { a.Namespace = "../x" },
		"an epoch beyond the layout":      func(a *Absence) { a.Epoch = MaxEpoch + 1 },
		"no kind":                         func(a *Absence) { a.Absent = "" },
		"nobody who acknowledged it":      func(a *Absence) { a.Absent = Acknowledged },
		"a person where none decided":     func(a *Absence) { a.By = "Alex" },
		"no time":                         func(a *Absence) { a.At = time.Time{} },
		"control characters in the words": func(a *Absence) { a.Absent, a.By, a.Reason = Acknowledged, "Alex", "a\nb" },
	} {
		a := valid
		change(&a)
		if _, err := a.Encode(); err == nil {
			t.Errorf("%s: recorded", name)
		}
	}
}
