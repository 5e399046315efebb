// Package selfcheck holds an audit store against the logs of its verdicts: finds out whether
// somebody has changed what was signed, and witnessed, before.
//
// It promises that each finding rests on something signed and on what is certainly on record; a
// fault of the store is an error and accuses nobody. It writes nothing. Raising an alert is left to
// jobs/witnessing, and who the witnesses are to transparency/witnesses.
package selfcheck
