// Package summary reads what the audit store has on a log for the public page, in the background
// and in rounds.
//
// It promises that a round costs a bounded number of requests, whatever the log did and whoever
// visits; that what is sealed is taken from the history, and each verdict beside that is read once;
// and that a summary says no more than was read. How it is shown is left to page.
package summary
