// Package statement decides what an auditor can state of an epoch in three lines that others can
// compare with theirs: that it is verified, or that the names around it are chained.
//
// It promises that nothing is stated of an epoch on which something is open, and that the same is
// always stated with the same bytes. Form and signature are those of transparency/tlogproof.
package statement
