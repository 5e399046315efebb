// Package golden has no code. Its tests pin the key and the bytes of every kind of object that
// ktaudit stores, for an audit store outlives the program that wrote it: a later version must read
// what is there, and write what it would have written, since two writers of one object compare
// bytes.
//
// Each kind has a golden file in testdata, which `go test ./internal/golden -update` rewrites. A
// difference is a break of the format and needs a new schema number, whatever package moved. The
// tests drive the real code by exported identifiers only.
package golden
