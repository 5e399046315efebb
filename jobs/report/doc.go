// Package report reads many verdicts and says what they come to: the status of a range, the head of
// an audit, an export, which epochs have a verdict.
//
// It promises to hold every step of a log against its neighbours: each verdict is about one step
// from one digest to the next, and only here are all of them read in order. Of what is sealed it
// believes the seals, so that millions of epochs cost a few requests; package seal checks those. It
// writes nothing and raises nothing.
package report
