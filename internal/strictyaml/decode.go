package strictyaml

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
	"github.com/ktaudit/ktaudit/internal/spelling"
	"github.com/ktaudit/ktaudit/internal/units"
)

// WithDefaults is an element of a list whose fields have defaults. Given returns the text of a key
// that the element has in the file.
type WithDefaults interface {
	SetDefaults(given func(key string) (text string, ok bool))
}

// decoder fills structs from YAML nodes and records the position of everything.
type decoder struct {
	*Collector
	positions map[string]position
	settings  []string // of the whole file
}

func (d *decoder) root(body ast.Node, v reflect.Value, hint string) {
	d.positions[""] = position{1, 1}
	if body == nil || body.Type() == ast.NullType {
		d.refuse("", "the file is empty: %s", hint)
		return
	}
	d.value(body, v, field{}, "")
}

// refuse adds a problem with the field and excludes it from validation.
func (d *decoder) refuse(path, format string, args ...any) {
	d.add(d.positions[path], path, format, args...)
	d.Blame(path)
}

// value fills v from n. The position of path is set already; path is empty for the whole file.
func (d *decoder) value(n ast.Node, v reflect.Value, f field, path string) {
	switch n := n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		d.refuse(path, "anchors, aliases and tags are not supported: write the value itself")
		return
	case *ast.NullNode:
		d.refuse(path, "is empty: give it a value or leave the key out")
		return
	case ast.MapNode:
		switch {
		case v.Kind() == reflect.Struct:
			d.mapping(n, v, path)
		case f.single:
			d.elements([]ast.Node{n.(ast.Node)}, v, path)
		default:
			d.refuse(path, "want %s, not a mapping", wanted(v.Type(), f))
		}
		return
	case *ast.SequenceNode:
		if v.Kind() != reflect.Slice {
			d.refuse(path, "want %s, not a list", wanted(v.Type(), f))
			return
		}
		d.elements(n.Values, v, path)
		return
	}
	text, ok := scalarText(n)
	if alone, has := fieldAlone(v.Type()); has && ok {
		v = v.Field(alone.index)
	}
	switch {
	case ok && v.Kind() == reflect.Slice && f.zero != "" && text == f.zero:
		v.SetZero()
	case !ok || v.Kind() == reflect.Struct || v.Kind() == reflect.Slice:
		d.refuse(path, "want %s", wanted(v.Type(), f))
	case strings.Contains(text, "${"):
		d.refuse(path, "variables are not expanded: write the value itself")
	default:
		if err := setScalar(v, f, text); err != nil {
			d.refuse(path, "%v", err)
		}
	}
}

// mapping fills a struct.
func (d *decoder) mapping(m ast.MapNode, v reflect.Value, path string) {
	fields := fieldsOf(v.Type())
	seen := map[string]position{}
	for entries := m.MapRange(); entries.Next(); {
		at := tokenPosition(entries.Key().GetToken())
		name, ok := keyText(entries.Key())
		if !ok {
			d.add(at, path, "this key is not a plain word; merge keys are not supported")
			continue
		}
		f, ok := fieldNamed(fields, name)
		if !ok {
			message, meant := d.unknownKey(v.Type(), name)
			d.add(at, path, "%s", message)
			if meant != "" {
				d.Blame(strings.TrimPrefix(path+"."+meant, "."))
			}
			continue
		}
		below := strings.TrimPrefix(path+"."+name, ".")
		if before, ok := seen[name]; ok {
			d.add(at, below, "is given twice, first in line %d: remove one", before.line)
			continue
		}
		seen[name] = at
		value := entries.Value()
		if _, empty := value.(*ast.NullNode); value != nil && !empty {
			at = nodePosition(value)
		}
		d.positions[below] = at
		if value == nil {
			value = ast.Null(entries.Key().GetToken())
		}
		d.value(value, v.Field(f.index), f, below)
	}
}

// elements fills a list. Fields that an element leaves out keep their defaults.
func (d *decoder) elements(nodes []ast.Node, v reflect.Value, path string) {
	list := reflect.MakeSlice(v.Type(), len(nodes), len(nodes))
	for i, n := range nodes {
		below := fmt.Sprintf("%s[%d]", path, i)
		d.positions[below] = nodePosition(n)
		element := list.Index(i)
		if e, ok := element.Addr().Interface().(WithDefaults); ok {
			e.SetDefaults(func(key string) (string, bool) { return textOf(n, key) })
		}
		d.value(n, element, field{}, below)
	}
	v.Set(list)
}

// textOf returns the text of a key of a mapping, if it has it.
func textOf(n ast.Node, name string) (string, bool) {
	if m, ok := n.(ast.MapNode); ok {
		for entries := m.MapRange(); entries.Next(); {
			if key, _ := keyText(entries.Key()); key == name {
				return scalarText(entries.Value())
			}
		}
	}
	return "", false
}

func fieldNamed(fields []field, name string) (field, bool) {
	for _, f := range fields {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}

// unknownKey returns the message for a key that a struct does not have, and the key that was
// probably meant, if any.
func (d *decoder) unknownKey(t reflect.Type, name string) (message, meant string) {
	known := fieldNames(t)
	for _, secret := range known {
		if kind, ok := strings.CutSuffix(secret, "_file"); ok && (name == kind || strings.HasSuffix(kind, "_"+name)) {
			return fmt.Sprintf("%s is a secret, and this file must not contain secrets: give the file or the environment variable "+
				"that holds it with %s or %s_env", name, secret, kind), secret
		}
	}
	if meant := spelling.Closest(name, known); meant != "" {
		return fmt.Sprintf("unknown key %.60q (did you mean %q?)", name, meant), meant
	}
	if place := d.elsewhere(name); place != "" {
		return fmt.Sprintf("unknown key %.60q here: it belongs %s", name, place), ""
	}
	return fmt.Sprintf("unknown key %.60q: want %s", name, strings.Join(known, ", ")), ""
}

// keyText returns the text of a key. Merge keys and composed keys have none.
func keyText(key ast.MapKeyNode) (string, bool) {
	switch key.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return key.GetToken().Value, true
	}
	return "", false
}

// scalarText returns the text of a value as written in the file: 007 is 7 only where a number is
// wanted.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		t := n.GetToken()
		return t.Value, t.Type != token.UnknownType
	}
	return "", false
}

// setScalar parses text into v.
func setScalar(v reflect.Value, f field, text string) error {
	if f.zero != "" && text == f.zero {
		v.SetZero()
		return nil
	}
	switch p := v.Addr().Interface().(type) {
	case *string:
		return setString(p, text)
	case *bool:
		*p = text == "true"
		if !*p && text != "false" {
			return fmt.Errorf("%.60q is neither true nor false", text)
		}
		return nil
	case *time.Duration:
		n, err := units.ParseDuration(text)
		return setNumber(p, n, err, text, f)
	case *units.Bytes:
		n, err := units.ParseBytes(text)
		return setNumber(p, n, err, text, f)
	case *int:
		n, err := units.WholeNumber(text, strconv.IntSize-1)
		return setNumber(p, int(n), err, text, f)
	case *uint64:
		n, err := units.WholeNumber(text, 63)
		return setNumber(p, n, err, text, f)
	}
	panic(fmt.Sprintf("no configuration field has the type %s", v.Type()))
}

// setNumber sets *p unless the number could not be read or is zero: where zero has a meaning, the
// file has a word for it.
func setNumber[T time.Duration | units.Bytes | int | uint64](p *T, n T, err error, text string, f field) error {
	switch {
	case err != nil && f.zero != "":
		return fmt.Errorf("%w (or %s)", err, f.zero)
	case err != nil:
		return err
	case n == 0:
		return fmt.Errorf("%.60s is too small: want %s", text, wanted(reflect.TypeFor[T](), f))
	}
	*p = n
	return nil
}

func setString(p *string, text string) error {
	switch {
	case strings.TrimSpace(text) != text || text == "":
		return fmt.Errorf("%.60q is empty or has spaces around it", text)
	case strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("%.60q contains line breaks or control characters", text)
	}
	*p = text
	return nil
}

// wanted describes the values that a field takes.
func wanted(t reflect.Type, f field) string {
	what := map[reflect.Type]string{
		reflect.TypeFor[string](): "a string", reflect.TypeFor[bool](): "true or false",
		reflect.TypeFor[time.Duration](): "a duration such as 30s, 15m or 30d", reflect.TypeFor[units.Bytes](): "a size such as 512MiB or 2GiB",
		reflect.TypeFor[int](): "a whole number of at least 1", reflect.TypeFor[uint64](): "a whole number of at least 1",
	}[t]
	switch {
	case t.Kind() == reflect.Struct:
		what = "a mapping with the keys " + strings.Join(fieldNames(t), ", ")
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		what = "a list whose items begin with \"- \""
	case t == reflect.TypeFor[[]time.Duration]():
		what = "a list of durations such as [1h, 1d, 7d]"
	case t.Kind() == reflect.Slice:
		what = "a list of strings, each beginning with \"- \""
	}
	if f.zero != "" {
		what += ", or " + f.zero
	}
	return what
}
