package lanes

import (
	"slices"
	"strings"
	"testing"
)

func TestPaths(t *testing.T) {
	paths := Paths()
	if paths[len(paths)-1] != "generic" {
		t.Errorf("paths are %v, want generic last", paths)
	}
	for _, path := range paths {
		use(t, path)
		if got := Path(); got != path {
			t.Errorf("path is %s, want %s", got, path)
		}
	}
}

// TestUnavailablePath asks for paths that do not exist or that the machine cannot run. The path in
// use stays.
func TestUnavailablePath(t *testing.T) {
	use(t, "generic")
	for _, name := range []string{"", "AVX2", "sse", "avx2 "} {
		if err := Use(name); err == nil || !strings.Contains(err.Error(), "unknown hash path") {
			t.Errorf("use %q: error %v", name, err)
		}
	}
	before := supported
	t.Cleanup(func() { supported = before })
	supported = []int{generic}
	if err := Use("avx2"); err == nil || !strings.Contains(err.Error(), "not supported") {
		t.Errorf("use of an unsupported path: error %v", err)
	}
	if got := Path(); got != "generic" {
		t.Errorf("path is %s after errors", got)
	}
}

// TestEnvironment starts with different values of the environment variable.
func TestEnvironment(t *testing.T) {
	best := Paths()[0]
	use(t, best)
	for _, c := range []struct{ value, path, problem string }{
		{"", best, ""},
		{"generic", "generic", ""},
		{"avx1024", best, `KTAUDIT_HASH: unknown hash path "avx1024", want one of generic, neon, avx2, avx512`},
	} {
		err := start(c.value)
		if got := Path(); got != c.path {
			t.Errorf("%q: path is %s, want %s", c.value, got, c.path)
		}
		if c.problem == "" && err != nil || c.problem != "" && (err == nil || err.Error() != c.problem) {
			t.Errorf("%q: error %v, want %q", c.value, err, c.problem)
		}
	}
	before := supported
	t.Cleanup(func() { supported = before })
	supported = []int{generic}
	if err := start("avx512"); err == nil || Path() != "generic" {
		t.Errorf("unsupported path: error %v, path %s", err, Path())
	}
	if !slices.Contains(before, int(active.Load())) {
		t.Errorf("path %s is not one of %v", Path(), before)
	}
}
