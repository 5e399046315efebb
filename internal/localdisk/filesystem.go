package localdisk

import "strings"

// networkDisks are file systems whose disk is another machine's, which may acknowledge what it then
// loses, and whose clients cache what others wrote. Those made for several machines that share a
// disk (Ceph, Lustre, GPFS, GFS2, OCFS2) promise each of them what a local disk does, and are left
// out. So is virtiofs, which is the disk of the same machine.
var networkDisks = map[string]bool{
	"nfs": true, "nfs4": true, "cifs": true, "smb3": true, "smbfs": true, "9p": true, "afs": true, "afpfs": true, "webdav": true,
	"coda": true, "ncpfs": true, "vboxsf": true, "prl_fs": true, "beegfs": true,
	"fuse.sshfs": true, "fuse.s3fs": true, "fuse.gcsfuse": true, "fuse.rclone": true, "fuse.goofys": true, "fuse.blobfuse": true,
	"fuse.blobfuse2": true, "fuse.mountpoint-s3": true, "fuse.davfs": true, "fuse.glusterfs": true, "fuse.juicefs": true,
	"fuse.mfs": true, "fuse.seaweedfs": true, "fuse.smbnetfs": true, "fuse.curlftpfs": true, "fuse.vmhgfs-fuse": true,
}

// FileSystem returns the kind of file system that a folder is on, as the system calls it, and
// whether its disk is known to be another machine's. The kind is empty where the system does not
// say.
func FileSystem(folder string) (kind string, network bool) {
	kind = strings.ToLower(fileSystem(folder))
	return kind, networkDisks[kind]
}
