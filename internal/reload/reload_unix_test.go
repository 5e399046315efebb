//go:build unix

package reload

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A named pipe that nobody writes to does not hang whoever is to read it.
func TestNamedPipesAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, t.TempDir()} {
		if _, _, err := ReadFile(path, 100); err == nil || !strings.Contains(err.Error(), path+" is no regular file") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
