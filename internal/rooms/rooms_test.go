package rooms

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The project keeps to its own shape.
func TestProject(t *testing.T) {
	t.Parallel()
	wrong, err := Check("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range wrong {
		t.Error(line)
	}
}

// The arrows of the list point up only, so that no two rooms import each other.
func TestArrowsPointDown(t *testing.T) {
	t.Parallel()
	for i, a := range allowed {
		for _, imported := range a.imports {
			if at := place(imported); imported != "*" && (at < 0 || at >= i) {
				t.Errorf("%s may import %s, which does not stand before it", a.room, imported)
			}
		}
	}
}

// The table in CONTRIBUTING.md has a place for every room, and its imports point down there, too.
func TestContributingTable(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| room |")
	table, _, _ = strings.Cut(table, "\n\n")
	row := map[string]int{}
	for i, line := range strings.Split(table, "\n") {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, name := range strings.Split(cells[1], ",") {
				row[strings.Trim(name, " `")] = i
			}
		}
	}
	for _, room := range low {
		if row[room] == 0 {
			t.Errorf("the table of rooms in CONTRIBUTING.md lacks %s", room)
		}
	}
	for _, a := range allowed {
		if row[a.room] == 0 {
			t.Errorf("the table of rooms in CONTRIBUTING.md lacks %s", a.room)
		}
		for _, imported := range a.imports {
			if imported != "*" && row[imported] < row[a.room] {
				t.Errorf("the table of rooms in CONTRIBUTING.md has %s above %s, which imports it", imported, a.room)
			}
		}
	}
}

func TestCheckFinds(t *testing.T) {
	t.Parallel()
	imports := func(path string) string { return "package x\n\nimport _ \"" + module + path + "\"\n" }
	imported := func(path string) string { return "package x\n\nimport \"" + module + path + "\"\n" }
	for _, c := range []struct {
		name, file, text, want string
	}{
		{"an upward import", "jobs/queue/a.go", imports("jobs/audit"), "jobs/queue/a.go:3: jobs/queue may not import jobs/audit"},
		{"an import that is not listed", "jobs/schedule/a.go", imports("jobs/audit"), "jobs/schedule may not import jobs/audit"},
		{"a room that imports test set-up", "jobs/audit/a.go", imports("internal/jobstest"), "may not import internal/jobstest"},
		{"an import at the bottom", "verdict/a.go", imports("validator"), "verdict may not import validator"},
		{"an internal type in a public struct", "jobs/schedule/a.go",
			imported("internal/alert") + "type Config struct{ Alert alert.Alert }\n", "a.go:4: an exported declaration mentions Alert of internal/alert"},
		{"an internal type in a public method", "jobs/schedule/a.go",
			imported("internal/alert") + "func (c *Config) Raise(a alert.Alert) {}\n", "mentions Alert of internal/alert"},
		{"a package without a place", "jobs/other/a.go", "package x\n", "jobs/other: a package without a place"},
		{"a wide comment", "validator/a.go", "package x\n\n\t// " + strings.Repeat("é", 94) + "\n", "validator/a.go:3: a comment may have 100"},
		{"a long file", "validator/a.go", "package x\n" + strings.Repeat("\n", maxFileLines), "a file may have 400"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			write(t, root, c.file, c.text)
			write(t, root, "jobs/audit/fine_test.go", imports("jobs/worker")) // tests may
			write(t, root, "jobs/audit/fine.go", imported("internal/alert")+"// "+strings.Repeat("é", 97)+"\ntype hidden struct{ alert.Alert }\nfunc (h hidden) F(alert.Alert) {}\n")
			wrong, err := Check(root)
			if err != nil || len(wrong) != 1 || !strings.Contains(wrong[0], c.want) {
				t.Errorf("%q, %v, want one line with %q", wrong, err, c.want)
			}
		})
	}
	t.Run("a large package", func(t *testing.T) {
		t.Parallel()
		root := t.TempDir()
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			write(t, root, "validator/"+name+".go", "package x\n"+strings.Repeat("\n", maxFileLines-1))
			write(t, root, "cmd/ktaudit/"+name+".go", "package x\n"+strings.Repeat("\n", maxFileLines-1))
		}
		wrong, err := Check(root)
		if err != nil || !slices.Equal(wrong, []string{"validator: 2400 lines, a package may have 2000"}) {
			t.Errorf("%q, %v", wrong, err)
		}
	})
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
