// Package cgroup says how much memory the control groups of this process let it use.
//
// A limit may stand at any level above a process: systemd, Kubernetes and Docker each set some of
// theirs on a parent, and the smallest one counts. In a container not all levels can be seen, nor
// is the path in /proc/self/cgroup always one below what is mounted. What cannot be read limits
// nothing, so that a strange machine never keeps a process from starting.
//
// github.com/KimMachineGun/automemlimit does the same and is kept, but it gives up on a path that
// leads out of the container (/../..), knows no memory.high, and brings a module along that is not.
package cgroup
