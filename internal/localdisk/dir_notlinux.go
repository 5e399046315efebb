//go:build unix && !linux

package localdisk

import "golang.org/x/sys/unix"

// toReach is how a folder is opened to reach what is in it.
const toReach = unix.O_RDONLY
