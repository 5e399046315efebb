// Package documents is how documents that change now and then are served to many: made once, with
// tags and compressed, kept for a time, and with events for those who wait for the next.
//
// It promises bounded memory, and that a slow reader holds up nobody. What the documents say is
// left to page.
package documents
