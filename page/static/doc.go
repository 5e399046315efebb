// Package static writes the public page as plain files to a bucket, for any web server or content
// network to serve under any path.
//
// It promises that the files are the pages that page serves, that only what changed is written, and
// that nothing is ever removed. Which bucket, and when, is left to cmd/ktaudit.
package static
