//go:build unix

package targets

import (
	"os/exec"
	"syscall"
)

// inOwnGroup has a program, and what it starts, killed together, and kept from signals to ktaudit:
// a message that is on its way when ktaudit is told to stop still arrives.
func inOwnGroup(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
}
