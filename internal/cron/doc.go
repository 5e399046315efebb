// Package cron reads when a backfill runs: five fields or a word such as @daily, in UTC.
//
// The configuration and the scheduler both ask it, so that what one takes the other takes too. What
// is done at such a time is left to jobs/schedule.
//
// github.com/netresearch/go-cron reads the fields: it continues robfig/cron, which has had no
// maintainer since 2020, panics on some time zones and has no weekday 7. Both, and others, were
// held against the plainest reading of 60,000 random expressions: go-cron reads all that it takes
// as cron does, and refuses those with a step that is larger than its range. adhocore/gronx reads
// one in ten otherwise, hashicorp/cronexpr one in eighty, and both take six fields.
package cron
