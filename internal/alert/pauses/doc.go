// Package pauses says until when a target of alerts hears no more of a cause.
//
// The first message about a cause is sent at once. What comes after it waits, for longer each time,
// and is one message then. Each pause is a record in the audit store, so that all processes that
// send keep to it.
package pauses
