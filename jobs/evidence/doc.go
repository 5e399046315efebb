// Package evidence collects what shows later, to others and without the log, that something was
// wrong with it: the batches concerned, the listings as they were answered, the signed digests of
// the epoch and its neighbours, and what ktaudit made of them.
//
// It is best effort, in bounded number, bytes and time: a [Collector] never fails, changes no
// verdict, and writes down what it could not have. What a verdict rests on is kept by jobs/audit in
// any case; what is wrong is found there and by the rooms that have an incident.Recorder. Making
// one file of all that is on record is left to jobs/bundle.
package evidence
