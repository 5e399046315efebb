package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/alert/targets"
)

// A kind of target that package targets makes can be configured, and nothing else can.
func TestTargetsAreOfEveryKind(t *testing.T) {
	t.Parallel()
	want := slices.Sorted(slices.Values(targets.Kinds()))
	var alerts Alerts
	v := reflect.ValueOf(&alerts).Elem()
	var keys []string
	for i := range v.NumField() {
		key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		keys = append(keys, key)
		list := v.Field(i)
		list.Set(reflect.MakeSlice(list.Type(), 2, 2))
	}
	if slices.Sort(keys); !slices.Equal(keys, want) {
		t.Errorf("the keys below alerts are %q, want %q", keys, want)
	}
	found := map[string]int{}
	for _, target := range alerts.Targets() {
		found[target.Kind]++
	}
	for _, kind := range want {
		if found[kind] != 2 {
			t.Errorf("Targets returns %d of two targets of kind %s", found[kind], kind)
		}
	}
	if len(found) != len(want) {
		t.Errorf("Targets returns the kinds %v, want %q", found, want)
	}
}
