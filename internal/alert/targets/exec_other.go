//go:build !unix

package targets

import "os/exec"

// inOwnGroup does nothing where there are no process groups: a program is killed by itself.
func inOwnGroup(*exec.Cmd) {}
