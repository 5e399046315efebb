// Package heartbeat pings an address while all is well: a dead man's switch, which tells somebody
// else when this auditor no longer can.
//
// All is well as long as, again and again,
//
//   - a round of following ends for each log without an error, its history included, with no epoch
//     unjudged for longer than the log's max_lag allows;
//   - a pass over the alerts of each log ends with none that some target lacks;
//   - the audit store takes a write.
//
// Each ping needs all of these anew, so that what hangs or has ended silences it: no clock can
// cause a ping. That a log was caught is no reason to be silent. Once everybody has the alert, this
// auditor has done its work, and a switch that stayed silent for as long as a rejection is on
// record could not tell that the auditor has died meanwhile.
//
// It leaves to others what the rounds do (jobs/schedule), what an alert is and when it is delivered
// (internal/alert), and whether the store can be written (internal/storewatch).
package heartbeat
