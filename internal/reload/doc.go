// Package reload reads files again when they change: certificates, tokens, lists of revoked
// certificates.
package reload
