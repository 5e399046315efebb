// Package redisclient connects to the Redis that holds the queues, of whatever kind: a server, a
// socket, behind Sentinels, or a cluster.
//
// It promises that no error or log line of its own has a password in it, that new connections show
// the passwords and certificates of now, and that what Redis refuses is said in words, once. It
// knows no keys; what is on the queues is left to package queue.
package redisclient
