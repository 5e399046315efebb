// Package reload reads files again when they change: certificates, tokens, lists of revoked
// certificates. It looks once a second, or at once when the process is told to.
package reload
