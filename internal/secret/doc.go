// Package secret reads secrets from files and environment variables, and says nothing of them in
// its errors.
package secret
