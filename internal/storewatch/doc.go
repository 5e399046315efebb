// Package storewatch tells people that the audit store cannot be written.
//
// All other alerts wait in the audit store until they are delivered, so this one cannot. It goes
// straight to the targets: at best once from each process that watches, under the same name from
// all of them, and once more when the store takes writes again. It promises no more than that: a
// process that ends meanwhile has told nobody, or does not say that it is over.
package storewatch
