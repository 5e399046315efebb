// Package message makes alerts into what people read: what happened, what it means, since when, how
// bad it is, where the evidence lies, and what to do next.
//
// It promises one [Message] for a group of alerts of one cause, bounded in size whatever a log
// chose, and the same words for every target. It leaves to others how a target shows it
// (internal/alert/targets), which alerts form a group (internal/alert), and what a word means
// (internal/explain).
package message
