// Package jobstest supplies the tests of the rooms of jobs with logs, buckets, audit stores and
// faults, all in memory. It knows none of the rooms, so that each of them can use it.
package jobstest
