// Package epochset has sets and ranges of epochs, with little memory for millions of them.
package epochset
