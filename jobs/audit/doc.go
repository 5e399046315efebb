// Package audit takes one epoch of a log from its name to its verdict on record: locate, fetch,
// judge, record.
//
// It promises that a transient fault never becomes a verdict, and that a rejection is never tried
// away. Judging returns a value and writes nothing; [Auditor.Audit] records it, [Auditor.Reaudit]
// holds it against the verdict that is there. Every step may be repeated, on two machines at once:
// the second verdict of an epoch changes nothing.
//
// Which epochs to audit, and when to try again, is said by the rooms above; it knows no queue. How
// a batch is found and bounded is the business of package fetcher, what a proof shows that of
// validator, what is signed that of signature, and how objects are kept that of auditstore.
package audit
