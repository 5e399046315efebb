package localdisk

import "golang.org/x/sys/unix"

func fileSystem(folder string) string {
	var stat unix.Statfs_t
	if unix.Statfs(folder, &stat) != nil {
		return ""
	}
	return unix.ByteSliceToString(stat.Fstypename[:])
}
