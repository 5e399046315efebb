// Package pins remembers which keys each auditor had when it was first asked: trust at first use,
// as ssh has it.
//
// It promises that a file of pins is replaced whole or not at all, that a damaged one is an error
// and never an empty one, and that no key is forgotten. Whether a new key is accepted, and what is
// said to people, is left to the caller.
package pins
