// Package cron reads when a backfill runs: five fields or a word such as @daily, in UTC.
//
// The configuration and the scheduler both ask it, so that what one takes the other takes too. What
// is done at such a time is left to jobs/schedule.
package cron
