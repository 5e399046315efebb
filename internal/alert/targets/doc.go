// Package targets makes the targets of alerts that an operator can choose, one kind in each file.
//
// It promises that a target sends what it is given once, within seconds, that errors hold no
// secret, and that they say whether the same may be accepted later. It leaves to others what is
// sent when, and how often (internal/alert), and what a configuration file looks like
// (internal/config, which asks this package for the kinds of targets and the rule for their names).
//
// A new kind of target is a file with its constructor, such as slack.go, and a row in the table of
// target.go. The tests that all targets must pass then include it.
package targets
