// Package fetcher brings one epoch's batch from a log directory to its verifier: Fetcher.Locate
// finds the one object that the log published for the epoch, and Fetcher.Open streams its bytes,
// decompressed. Decode does the same for a local file.
//
// It promises that what it returns is whole and bounded. A body that breaks off is resumed or is an
// error, never a shorter proof; stored bytes, decompressed bytes, their ratio and the decoder's
// memory all have limits; and the SHA-256 in Info covers every stored byte. A log directory holds a
// batch as "{epoch}/{previous digest}/{digest}", as the akd crate's users publish it, uncompressed
// or compressed with zstd, gzip or S2, and then often with an extension.
//
// It leaves to others what the bytes mean (package validator), signed digests (package signature)
// and what follows from an error: Transient tells errors after which to try again from those that
// are grounds for rejecting the epoch.
package fetcher
