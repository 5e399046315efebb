// Package wire decodes audit proofs: the elements of akd's message SingleAppendOnlyProof, one after
// another, from a reader. It takes no encoding that akd refuses, holds one element at a time, and
// leaves what the elements mean to package validator.
package wire
