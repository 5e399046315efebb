package alert

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Other packages ask Kinds for the kinds: one that is missing there is "other" in the metrics.
func TestKindsAreComplete(t *testing.T) {
	t.Parallel()
	got := Kinds()
	want := constantsOfType(t, "Kind")
	if len(want) == 0 {
		t.Fatal("no constants found: the test reads the source wrongly")
	}
	if len(got) != len(want) {
		t.Errorf("Kinds returns %q, the constants are %q", got, want)
	}
	for _, k := range want {
		if !slices.Contains(got, Kind(k)) {
			t.Errorf("the constant %q is not in Kinds", k)
		}
	}
	for _, k := range got {
		row := kinds[k]
		if row.severity != Critical && row.severity != Warning || row.alertname == "" || row.title == "" {
			t.Errorf("%s: incomplete row %+v", k, row)
		}
	}
}

// constantsOfType returns the values of the package's string constants of a type.
func constantsOfType(t *testing.T, name string) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	must(t, err)
	var values []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		must(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != name {
				return true
			}
			for _, v := range spec.Values {
				if literal, ok := v.(*ast.BasicLit); ok {
					value, err := strconv.Unquote(literal.Value)
					must(t, err)
					values = append(values, value)
				}
			}
			return true
		})
	}
	return values
}
