package testservers

import "syscall"

// endWithParent makes the kernel kill the server when the test binary dies without cleaning up, as
// it does at a test timeout.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
