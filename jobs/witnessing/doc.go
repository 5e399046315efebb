// Package witnessing keeps the verdict log of an audit going: it appends what is due, has it
// cosigned, and raises what it finds to be wrong.
//
// It promises that a tree which does not extend what was signed, and a witness that knows another
// history, are incidents with evidence, and that the store is held against the newest witnessed
// checkpoint. Trees and checkpoints are the business of transparency.
package witnessing
