//go:build !linux

package testservers

import "syscall"

// endWithParent is a Linux facility; elsewhere a server outlives a test binary that dies without
// cleaning up.
func endWithParent() *syscall.SysProcAttr { return nil }
