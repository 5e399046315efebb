package strictyaml

import (
	"reflect"
	"slices"
	"strings"
)

// field is one key of a mapping, as the tags of a struct describe it.
type field struct {
	index  int
	name   string
	zero   string // the word for the zero value, if there is one
	single bool   // one mapping may stand for a list of one
	alone  bool   // its text may stand for the whole mapping
}

// fieldsOf returns the fields of a struct in their order.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		tag, ok := t.Field(i).Tag.Lookup("yaml")
		if !ok {
			continue
		}
		name, option, _ := strings.Cut(tag, ",")
		fields = append(fields, field{i, name, t.Field(i).Tag.Get("zero"), option == "single", option == "alone"})
	}
	return fields
}

// fieldAlone returns the field of a struct whose text may stand for all of it.
func fieldAlone(t reflect.Type) (field, bool) {
	if t.Kind() == reflect.Struct {
		for _, f := range fieldsOf(t) {
			if f.alone {
				return f, true
			}
		}
	}
	return field{}, false
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for _, f := range fieldsOf(t) {
		names = append(names, f.name)
	}
	return names
}

// Settings returns the path of every setting of a struct, such as backfill[].to.
func Settings(settings any) (paths []string) {
	var add func(t reflect.Type, place string)
	add = func(t reflect.Type, place string) {
		for _, f := range fieldsOf(t) {
			ft, below := t.Field(f.index).Type, strings.TrimPrefix(place+"."+f.name, ".")
			paths = append(paths, below)
			if ft.Kind() == reflect.Slice {
				ft, below = ft.Elem(), below+"[]"
			}
			if ft.Kind() == reflect.Struct {
				add(ft, below)
			}
		}
	}
	add(reflect.TypeOf(settings), "")
	return paths
}

// elsewhere returns the other places of the file where a key belongs, or an empty string.
func (d *decoder) elsewhere(key string) string {
	var places []string
	for _, path := range d.settings {
		switch place, ok := strings.CutSuffix(path, "."+key); {
		case path == key:
			places = append(places, "at the top level")
		case ok:
			places = append(places, "in "+place)
		}
	}
	return strings.Join(slices.Compact(places), " or ")
}
