// Package verdict is the schema of what is on record about the epochs of a log: verdicts, the seals
// that stand for a thousand of them, and the history that sums up all seals. It also has every
// reason for which an epoch is rejected, and the one rule for how two epochs link ([Between],
// [LinkDigests]).
//
// It is pure: it reads and writes nothing, and imports nothing of the project. A stored object
// never changes its bytes; a new field is optional, and what an older version wrote is still read.
// Where objects are kept is said by package auditstore, what is proven about a batch by package
// validator.
package verdict
