package localdisk

import "golang.org/x/sys/unix"

// toReach is how a folder is opened to reach what is in it. It costs less than to open it for
// reading, and needs no permission to list it.
const toReach = unix.O_PATH
