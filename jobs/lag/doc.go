// Package lag says how far an audit is behind its log: which epoch is the newest one published, how
// many up to it have no verdict, and since when.
//
// It asks the log once, as a scheduler's round does, and remembers nothing, so that a status can be
// trusted though no scheduler and no worker is alive. How far is too far is left to its caller.
package lag
