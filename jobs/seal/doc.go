// Package seal seals the shards of an audit, and checks seals against the verdicts.
//
// A shard is the thousand epochs of one folder. Once each has a verdict, a seal stands for them,
// and the history sums up all seals, so that millions of epochs are read with a few requests. A
// [Sealer] promises that a shard is sealed only after everything that its verdicts show was put on
// record, that whoever seals it writes the same bytes, and that a verdict which is changed or taken
// away afterwards is an alert. A [Loop] does both again and again. When to
// seal is said by jobs/schedule and jobs/worker, what a seal is by package verdict.
package seal
