package localdisk

import "testing"

func TestFileSystem(t *testing.T) {
	t.Parallel()
	if kind, network := FileSystem("/proc/self"); kind != "proc" || network {
		t.Errorf("/proc is %q, a network disk: %v", kind, network)
	}
	if kind, network := FileSystem("/nowhere"); kind != "" || network {
		t.Errorf("a folder that is not there is on %q", kind)
	}
}
