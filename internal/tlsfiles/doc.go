// Package tlsfiles makes the TLS configuration of a client from the files that an operator names:
// whom the client believes, and the certificate that it shows.
package tlsfiles
