package share

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLeastMemory(t *testing.T) {
	t.Parallel()
	const meminfo = "MemTotal:       2048 kB\nMemFree:        1 kB\n"
	for _, c := range []struct {
		name    string
		limit   int64
		meminfo string
		want    int64
	}{
		{"machine only", 0, meminfo, 2 << 20},
		{"container is smaller", 1000000, meminfo, 1000000},
		{"container is larger", 1 << 40, meminfo, 2 << 20},
		{"container only", 1000000, "", 1000000},
		{"nothing known", 0, "", defaultMemory},
		{"nonsense", 0, "MemTotal: 99999999999999999999 kB", defaultMemory},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "meminfo")
			if err := os.WriteFile(path, []byte(c.meminfo), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := leastMemory(c.limit, path); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}
