// Package frontier finds how far a log has come, from what its directory lists under single epochs.
//
// Everything that a log lists is its own claim, so the frontier moves by what is costly to claim.
// It goes forward over epochs that are there one after the other. To catch up it makes long steps
// to epochs picked by chance, and samples what it passes: objects here and there are not hit, and
// to fill the way costs as many objects as it is long. It passes over missing epochs only when the
// log has been standing still, and then no further than the log's cadence allows, or where as many
// epochs stand behind the missing ones. What lies further is reported, and not followed.
//
// Beside that it keeps what the log shows of single epochs: [Observations], [Absence] and [Gaps].
//
// A [Frontier] remembers what saves requests, and when it came to where it is; a new one comes to
// the same. When to search, what to audit and whom to alert is left to jobs/schedule.
package frontier
