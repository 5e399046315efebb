package config

import (
	"reflect"
	"slices"
	"strings"
)

// field is one key of a mapping, as the tags of config.go describe it.
type field struct {
	index  int
	name   string
	zero   string // the word for the zero value, if there is one
	single bool   // one mapping may stand for a list of one
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
		fields = append(fields, field{i, name, t.Field(i).Tag.Get("zero"), option == "single"})
	}
	return fields
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for _, f := range fieldsOf(t) {
		names = append(names, f.name)
	}
	return names
}

// elsewhere returns the other places of the file where a key belongs, or an empty string.
func elsewhere(key string) string {
	var places []string
	var search func(t reflect.Type, place string)
	search = func(t reflect.Type, place string) {
		for _, f := range fieldsOf(t) {
			if f.name == key {
				if place == "" {
					places = append(places, "at the top level")
				} else {
					places = append(places, "in "+place)
				}
			}
			ft, below := t.Field(f.index).Type, strings.TrimPrefix(place+"."+f.name, ".")
			if ft.Kind() == reflect.Slice {
				ft, below = ft.Elem(), below+"[]"
			}
			if ft.Kind() == reflect.Struct {
				search(ft, below)
			}
		}
	}
	search(reflect.TypeFor[Config](), "")
	return strings.Join(slices.Compact(places), " or ")
}
