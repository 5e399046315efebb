package share

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	const meminfo = "MemTotal:       2048 kB\nMemFree:        1 kB\n"
	for _, c := range []struct {
		name, cgroup, meminfo string
		want                  int64
	}{
		{"machine only", "", meminfo, 2 << 20},
		{"container is smaller", "1000000\n", meminfo, 1000000},
		{"container is unlimited", "max\n", meminfo, 2 << 20},
		{"nothing known", "", "", defaultMemory},
		{"nonsense", "-5", "MemTotal: 99999999999999999999 kB", defaultMemory},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write := func(name, text string) string {
				path := filepath.Join(dir, name)
				if text != "" {
					if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				return path
			}
			if got := memoryLimit(write("memory.max", c.cgroup), write("meminfo", c.meminfo)); got != c.want {
				t.Errorf("limit is %d, want %d", got, c.want)
			}
		})
	}
}
