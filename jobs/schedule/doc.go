// Package schedule keeps on the queue what is to be audited, and raises alerts when something is
// wrong with a log: it follows logs, brings their history to an end, puts back what the queue lost,
// seals what is complete and removes archived batches whose time is over.
//
// Any number of schedulers may run, and none is the leader. A scheduler has no state that matters:
// each round compares the log with the audit store and the queue, and adds what is missing. A
// second enqueuing changes nothing, and an alert on the same incident is one alert.
//
// Each log has a few goroutines, each a type of its own: [Config] says how, and they share a few
// facts only, in progress. The follower takes care of the newest epochs and the conditions that
// people are alerted to; the backfiller after history. The others are at home in other rooms: a
// seal.Loop, a retention.Remover and, where names are walked, a chain.Loop. How far a log has come,
// and which epochs it lacks, is found out by jobs/frontier, what new verdicts show by
// jobs/verdictcheck. Auditing an epoch is the business of jobs/worker and jobs/audit, which this
// room never calls, and sending alerts that of internal/alert.
package schedule
