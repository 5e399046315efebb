package strictyaml

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/units"
)

// Encode returns a struct as a file that sets every field, also those with their defaults. Decode
// reads it as the same again.
func Encode(settings any) string {
	var text strings.Builder
	writeFields(&text, reflect.ValueOf(settings), "")
	return text.String()
}

// writeFields writes the fields of a struct, one a line.
func writeFields(text *strings.Builder, v reflect.Value, indent string) {
	for _, f := range fieldsOf(v.Type()) {
		value := v.Field(f.index)
		switch {
		case value.IsZero() && f.zero != "":
			fmt.Fprintf(text, "%s%s: %s\n", indent, f.name, f.zero)
		case value.IsZero() && value.Kind() != reflect.Bool, value.Kind() == reflect.Slice && value.Len() == 0:
			// not set
		case value.Kind() == reflect.Struct:
			fmt.Fprintf(text, "%s%s:\n", indent, f.name)
			writeFields(text, value, indent+"  ")
		case value.Kind() == reflect.Slice:
			fmt.Fprintf(text, "%s%s:\n", indent, f.name)
			for i := range value.Len() {
				writeElement(text, value.Index(i), indent+"  ")
			}
		default:
			fmt.Fprintf(text, "%s%s: %s\n", indent, f.name, scalar(value))
		}
	}
}

func writeElement(text *strings.Builder, v reflect.Value, indent string) {
	if f, ok := fieldAlone(v.Type()); ok {
		rest := reflect.New(v.Type()).Elem()
		rest.Set(v)
		rest.Field(f.index).SetZero()
		if rest.IsZero() {
			v = v.Field(f.index)
		}
	}
	if v.Kind() != reflect.Struct {
		fmt.Fprintf(text, "%s- %s\n", indent, scalar(v))
		return
	}
	var fields strings.Builder
	writeFields(&fields, v, indent+"  ")
	text.WriteString(indent + "- " + strings.TrimPrefix(fields.String(), indent+"  "))
}

// plain matches texts that every version of YAML reads as strings without quotes.
var plain = regexp.MustCompile(`^[A-Za-z./][A-Za-z0-9_./+@=?%-]*(:[A-Za-z0-9_./+@=?%-]+)*$`)

func scalar(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return units.DurationText(x)
	case string:
		switch strings.ToLower(x) {
		case "true", "false", "yes", "no", "on", "off", "y", "n", "null", ".", ".nan", ".inf", "---", "...":
			return strconv.Quote(x)
		}
		if !plain.MatchString(x) {
			return strconv.Quote(x)
		}
		return x
	}
	return fmt.Sprint(v.Interface())
}
