package secret

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("KTAUDIT_TEST_SECRET", "hunter2")
	t.Setenv("KTAUDIT_TEST_EMPTY", " ")
	for _, test := range []struct {
		name, file, env string
		want, err       string
	}{
		{"file", file("good", "hunter2\n"), "", "hunter2", ""},
		{"variable", "", "KTAUDIT_TEST_SECRET", "hunter2", ""},
		{"none", "", "", "", ""},
		{"empty file", file("empty", "\n"), "", "", "secret_file: " + filepath.Join(dir, "empty") + " is empty"},
		{"large file", file("large", strings.Repeat("hunter2", 10_000)), "", "", "secret_file: " + filepath.Join(dir, "large") + " is larger than 65536 bytes"},
		{"no file", filepath.Join(dir, "none"), "", "", "secret_file: open " + filepath.Join(dir, "none") + ": no such file or directory"},
		{"empty variable", "", "KTAUDIT_TEST_EMPTY", "", "secret_env: the environment variable KTAUDIT_TEST_EMPTY is empty"},
	} {
		got, err := Read("secret", test.file, test.env)
		if got != test.want || (err != nil) != (test.err != "") || err != nil && err.Error() != test.err {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
	}
}

func TestReadKeyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadKeyFile(path); got != "hunter2" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKeyFile(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}
