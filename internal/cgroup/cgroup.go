package cgroup

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxBytes bounds what is read of a file: some machines have thousands of mounts.
	maxBytes = 8 << 20
	// noLimit is less than version 1 writes for none, and more than any machine has.
	noLimit = 1 << 60
)

// MemoryLimit returns the smallest limit, in bytes, of all levels that can be seen; 0 if there is
// none.
func MemoryLimit() int64 { return memoryLimit("/") }

// version is one of the two kinds of hierarchies of groups.
type version struct {
	// group reports whether a line of /proc/self/cgroup is of the hierarchy that limits memory, by
	// its number and controllers.
	group func(id string, controllers []string) bool
	// mount reports whether a mount shows that hierarchy, by its type and options.
	mount func(kind string, options []string) bool
	// files of a group hold limits.
	files []string
}

// versions may both be there; memory is then limited by one of them. The second one is throttled
// beyond memory.high, until it stands still.
var versions = []version{
	{
		group: func(_ string, controllers []string) bool { return slices.Contains(controllers, "memory") },
		mount: func(kind string, options []string) bool {
			return kind == "cgroup" && slices.Contains(options, "memory")
		},
		files: []string{"memory.limit_in_bytes"},
	},
	{
		group: func(id string, controllers []string) bool { return id == "0" && controllers[0] == "" },
		mount: func(kind string, _ []string) bool { return kind == "cgroup2" },
		files: []string{"memory.max", "memory.high"},
	},
}

// memoryLimit is MemoryLimit of a machine whose files are below root.
func memoryLimit(root string) int64 {
	mounts := readMounts(filepath.Join(root, "proc/self/mountinfo"))
	var limits []int64
	for _, line := range readLines(filepath.Join(root, "proc/self/cgroup")) {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			continue
		}
		for _, v := range versions {
			if !v.group(parts[0], strings.Split(parts[1], ",")) {
				continue
			}
			for _, f := range folders(v, mounts, parts[2]) {
				limits = append(limits, v.limits(filepath.Join(root, f.mount), f.group)...)
			}
		}
	}
	if len(limits) == 0 {
		return 0
	}
	return slices.Min(limits)
}

// folder is where a group is: below a mount.
type folder struct{ mount, group string }

// folders returns where the group of this process is mounted. If it is below none of the mounts, as
// when a process was moved out of its container's group, what is mounted is all that is known.
func folders(v version, mounts []mount, group string) (below []folder) {
	var outside []folder
	for _, m := range mounts {
		if !v.mount(m.kind, m.options) {
			continue
		}
		if relative, ok := relativeTo(m.root, group); ok {
			below = append(below, folder{m.point, relative})
		} else {
			outside = append(outside, folder{mount: m.point})
		}
	}
	if len(below) > 0 {
		return below
	}
	return outside
}

// relativeTo returns a group's path below the one that is mounted.
func relativeTo(root, group string) (string, bool) {
	if group == root {
		return "", true
	}
	relative, ok := strings.CutPrefix(group, strings.TrimSuffix(root, "/")+"/")
	return relative, ok && filepath.IsLocal(relative)
}

// limits reads those of a group and of all above it, up to the one that is mounted. Some levels may
// be missing, as where a container sees the path that its group has on the machine.
func (v version) limits(mount, group string) (limits []int64) {
	for group = filepath.Clean(group); ; group = filepath.Dir(group) {
		for _, file := range v.files {
			for _, line := range readLines(filepath.Join(mount, group, file)) {
				limits = appendLimit(limits, line)
			}
		}
		// What version 1 adds up knows levels that are not mounted here.
		for _, line := range readLines(filepath.Join(mount, group, "memory.stat")) {
			if limit, ok := strings.CutPrefix(line, "hierarchical_memory_limit "); ok {
				limits = appendLimit(limits, limit)
			}
		}
		if group == "." {
			return limits
		}
	}
}

func appendLimit(limits []int64, text string) []int64 {
	if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil && n > 0 && n < noLimit {
		return append(limits, n)
	}
	return limits
}

// mount is a line of /proc/self/mountinfo: the folder root of a file system is shown at point.
type mount struct {
	root, point, kind string
	options           []string
}

// spaces are how the file writes what would end a word.
var spaces = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// readMounts reads mounts as proc_pid_mountinfo(5) has them: words, of which some may be left out
// before a dash.
func readMounts(path string) (mounts []mount) {
	for _, line := range readLines(path) {
		before, after, _ := strings.Cut(line, " - ")
		words, rest := strings.Fields(before), strings.Fields(after)
		if len(words) < 6 || len(rest) < 3 {
			continue
		}
		mounts = append(mounts, mount{
			root: spaces.Replace(words[3]), point: spaces.Replace(words[4]), kind: rest[0], options: strings.Split(rest[2], ","),
		})
	}
	return mounts
}

// readLines returns a file's lines; none if it cannot be read.
func readLines(path string) (lines []string) {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes))
	if err != nil {
		return nil
	}
	for scanner := bufio.NewScanner(bytes.NewReader(data)); scanner.Scan(); {
		lines = append(lines, scanner.Text())
	}
	return lines
}
