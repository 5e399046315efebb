// Package validator decides whether one epoch of a Key Transparency log only appended to the log's
// tree.
//
// It takes the proof's bytes, the digests that the proof must connect, and the hash layout of the
// log's tree, and returns a Result. It promises that
//
//   - a verified proof is one whose unchanged nodes hash to the digest before the epoch and whose
//     nodes all together hash to the digest after it. Its labels are those of an honest tree: no
//     label occurs twice, and none is a prefix of another;
//   - a rejection is the proof's own fault. What could not be read is an error, never a Result;
//   - hostile proofs cost bounded memory and time; see Verify and Options.
//
// It leaves the rest to its callers: fetching and decompressing proofs (package fetcher),
// signed digests (package signature), the order of epochs, and what a verdict leads to. It does no
// I/O but reading the given reader, keeps no state between calls and logs nothing, so any Go
// program can import it.
//
// Proofs and trees are those of the akd crate (https://github.com/facebook/akd): the protobuf
// message SingleAppendOnlyProof, hashed with BLAKE3 in one of akd's two configurations. A tree is a
// binary Patricia trie over 256-bit labels.
package validator
