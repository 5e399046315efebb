package cgroup

import (
	"os"
	"path/filepath"
	"testing"
)

// Lines of /proc/self/mountinfo, as machines and containers have them.
const (
	unified        = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
	hybridUnified  = "31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate\n"
	memoryV1       = "40 30 0:36 / /sys/fs/cgroup/memory rw,nosuid shared:14 - cgroup cgroup rw,memory\n"
	cpuV1          = "41 30 0:37 / /sys/fs/cgroup/cpu rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
	dockerV1       = "906 897 0:36 /docker/abc /sys/fs/cgroup/memory ro,nosuid master:14 - cgroup cgroup rw,memory\n"
	outerUnified   = "30 23 0:26 /../.. /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
	rootFileSystem = "23 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw,memory\n"
)

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	const none = "9223372036854771712\n" // as version 1 writes it
	for _, c := range []struct {
		name, groups, mounts string
		files                map[string]string // below /sys/fs/cgroup
		want                 int64
	}{
		{name: "no cgroups", mounts: rootFileSystem},
		{
			name: "v2: a container with a namespace", groups: "0::/\n", mounts: rootFileSystem + unified,
			files: map[string]string{"memory.max": "1000000\n"}, want: 1000000,
		},
		{
			name: "v2: no limit", groups: "0::/user.slice/a.scope\n", mounts: unified,
			files: map[string]string{"user.slice/memory.max": "max\n", "user.slice/a.scope/memory.max": "max\n"},
		},
		{
			name: "v2: the own group's", groups: "0::/system.slice/ktaudit.service\n", mounts: unified,
			files: map[string]string{"system.slice/memory.max": "3000\n", "system.slice/ktaudit.service/memory.max": "2000\n"}, want: 2000,
		},
		{
			name: "v2: a parent's", groups: "0::/system.slice/ktaudit.service\n", mounts: unified,
			files: map[string]string{"system.slice/memory.max": "1000\n", "system.slice/ktaudit.service/memory.max": "max\n"}, want: 1000,
		},
		{
			name: "v2: the pod's", groups: "0::/kubepods.slice/pod1/cri-1.scope\n", mounts: unified,
			files: map[string]string{"kubepods.slice/memory.max": "9000\n", "kubepods.slice/pod1/memory.max": "7000\n", "kubepods.slice/pod1/cri-1.scope/memory.max": "8000\n"},
			want:  7000,
		},
		{
			name: "v2: throttled before it is full", groups: "0::/a\n", mounts: unified,
			files: map[string]string{"a/memory.max": "3000\n", "a/memory.high": "2500\n"}, want: 2500,
		},
		{
			name: "v2: a path out of the namespace", groups: "0::/../../other.scope\n", mounts: unified,
			files: map[string]string{"memory.max": "4000\n"}, want: 4000,
		},
		{
			name: "v2: mounted from outside of the namespace", groups: "0::/\n", mounts: outerUnified,
			files: map[string]string{"memory.max": "4000\n"}, want: 4000,
		},
		{
			name: "v2: the machine's path in a container without a namespace", groups: "0::/docker/abc\n", mounts: unified,
			files: map[string]string{"memory.max": "5000\n"}, want: 5000,
		},
		{
			name: "v2: another container's group is mounted, too", groups: "0::/user.slice\n",
			mounts: unified + "90 30 0:26 /docker/abc /sys/fs/cgroup/abc rw - cgroup2 cgroup2 rw\n",
			files:  map[string]string{"user.slice/memory.max": "5000\n", "abc/memory.max": "10\n"}, want: 5000,
		},
		{
			name: "v2: a mount with a space", groups: "0::/a\n", mounts: `30 23 0:26 / /sys/fs/cgroup/my\040groups rw - cgroup2 none rw` + "\n",
			files: map[string]string{"my groups/a/memory.max": "5000\n"}, want: 5000,
		},
		{
			name: "v1: a container without a namespace", groups: "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n", mounts: cpuV1 + dockerV1,
			files: map[string]string{"memory/memory.limit_in_bytes": "6000\n", "cpu/memory.limit_in_bytes": "1\n"}, want: 6000,
		},
		{
			name: "v1: a parent's", groups: "4:memory:/a/b\n", mounts: memoryV1,
			files: map[string]string{"memory/memory.limit_in_bytes": none, "memory/a/memory.limit_in_bytes": "6000\n", "memory/a/b/memory.limit_in_bytes": none},
			want:  6000,
		},
		{
			name: "v1: of a level that is not mounted", groups: "4:memory:/docker/abc\n", mounts: dockerV1,
			files: map[string]string{"memory/memory.limit_in_bytes": none, "memory/memory.stat": "cache 12\nhierarchical_memory_limit 7000\n"},
			want:  7000,
		},
		{
			name: "v1: no limit", groups: "4:memory:/a\n", mounts: memoryV1,
			files: map[string]string{"memory/a/memory.limit_in_bytes": none, "memory/a/memory.stat": "hierarchical_memory_limit 9223372036854771712\n"},
		},
		{
			name: "hybrid: version 1 limits memory", groups: "4:memory:/a\n1:name=systemd:/a\n0::/a\n", mounts: hybridUnified + memoryV1,
			files: map[string]string{"memory/a/memory.limit_in_bytes": "8000\n"}, want: 8000,
		},
		{
			name: "hybrid: version 2 limits memory", groups: "5:cpu:/a\n0::/a\n", mounts: hybridUnified + cpuV1,
			files: map[string]string{"unified/a/memory.max": "9000\n"}, want: 9000,
		},
		{
			name: "nonsense", groups: "\n:\n::\n4:memory\n0::relative\n0::/a\n", mounts: "1 2 3\n - \nx - cgroup2\n" + unified,
			files: map[string]string{"a/memory.max": "-5\n0\n99999999999999999999\n1e3\n"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			write := func(path, text string) {
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("proc/self/cgroup", c.groups)
			write("proc/self/mountinfo", c.mounts)
			for path, text := range c.files {
				write(filepath.Join("sys/fs/cgroup", path), text)
			}
			if got := memoryLimit(root); got != c.want {
				t.Errorf("the limit is %d, want %d", got, c.want)
			}
		})
	}
}
