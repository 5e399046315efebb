// Package chain walks a log's names: it lists all keys of a log directory, a thousand a request,
// holds the name of each epoch against the one before, and puts on record what it found.
//
// What it says of epochs A to B is no more than this: the names of all epochs from A to B continue
// each other, one batch each. No batch is read.
//
// The record is by shard, and each version of a shard's names is created once, so that several may
// walk at the same time, a walk that was killed leaves whole pieces, and a later walk can be
// compared. A name on record that was replaced, or that another one has joined, is evidence and an
// alert. One that is missing is looked for several times first: absence alone says little.
//
// The listing may be hostile. Requests and memory are bounded, keys must be in order, and reaching
// a bound is an error. A [Loop] walks again and again. When to walk is left to
// jobs/schedule and cmd/ktaudit.
package chain
