package rooms

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// closed are packages that other programs can import and have no use for: what they record are
// alerts of internal/alert.
var closed = []string{"jobs/incident"}

// checkPublic returns the exported declarations of a file of a public package that mention a type
// of an internal one, which whoever imports the package cannot make.
func checkPublic(file, relative string) (wrong []string, err error) {
	room := packageOf(relative)
	if strings.HasPrefix(room, "internal/") || strings.HasPrefix(room, "cmd/") || slices.Contains(closed, room) {
		return nil, nil
	}
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, file, nil, 0)
	if err != nil {
		return nil, err
	}
	internal := map[string]string{} // package by name
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		if imported, ours := strings.CutPrefix(imported, module); ours && strings.HasPrefix(imported, "internal/") {
			internal[path.Base(imported)] = imported
		}
	}
	for _, decl := range parsed.Decls {
		for _, face := range faceOf(decl) {
			ast.Inspect(face, func(n ast.Node) bool {
				selector, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if name, ok := selector.X.(*ast.Ident); ok && internal[name.Name] != "" {
					wrong = append(wrong, fmt.Sprintf("%s:%d: an exported declaration mentions %s of %s",
						relative, files.Position(n.Pos()).Line, selector.Sel.Name, internal[name.Name]))
				}
				return true
			})
		}
	}
	return wrong, nil
}

// faceOf returns the parts of a declaration that others see: signatures of exported functions and
// methods, exported fields, and types of exported constants and variables.
func faceOf(decl ast.Decl) (face []ast.Node) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && (d.Recv == nil || isExported(d.Recv.List[0].Type)) {
			face = append(face, d.Type)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() {
					face = append(face, faceOfType(s.Type)...)
				}
			case *ast.ValueSpec:
				if s.Names[0].IsExported() && s.Type != nil {
					face = append(face, s.Type)
				}
			}
		}
	}
	return face
}

func faceOfType(t ast.Expr) (face []ast.Node) {
	s, ok := t.(*ast.StructType)
	if !ok {
		return []ast.Node{t}
	}
	for _, field := range s.Fields.List {
		if len(field.Names) == 0 || field.Names[0].IsExported() {
			face = append(face, field.Type)
		}
	}
	return face
}

// isExported reports whether a method's receiver is of an exported type.
func isExported(receiver ast.Expr) bool {
	for {
		switch t := receiver.(type) {
		case *ast.StarExpr:
			receiver = t.X
		case *ast.IndexExpr:
			receiver = t.X
		case *ast.Ident:
			return t.IsExported()
		default:
			return true
		}
	}
}
