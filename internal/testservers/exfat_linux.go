package testservers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ExFAT is a folder on a file system without hard links: exFAT, as on most memory cards, on a
// loop device. It needs root, as CI is; elsewhere the test is left out.
func ExFAT(t testing.TB) string {
	t.Helper()
	leaveOutIfShort(t)
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Geteuid() != 0 {
		t.Skip("to mount exFAT takes root and FUSE")
	}
	format, mount := Program(t, "mkfs.exfat"), Program(t, "mount.exfat-fuse")
	image, folder := filepath.Join(t.TempDir(), "image"), t.TempDir()
	run := func(program string, args ...string) string {
		out, err := exec.Command(program, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", program, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if err := os.WriteFile(image, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	run(format, image)
	device := run("losetup", "--find", "--show", image)
	t.Cleanup(func() { run("losetup", "--detach", device) })
	run(mount, device, folder)
	t.Cleanup(func() { unmount(t, folder) })
	return folder
}

// unmount waits for whoever still looks at the folder, such as a scanner of the machine's.
func unmount(t testing.TB, folder string) {
	var out []byte
	var err error
	for range 50 {
		if out, err = exec.Command("umount", folder).CombinedOutput(); err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("umount %s: %v: %s", folder, err, out)
}
