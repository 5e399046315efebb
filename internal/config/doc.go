// Package config reads ktaudit's configuration file: which logs to audit, where, and whom to tell.
//
// The file is YAML, read strictly. [Load] and [Parse] refuse unknown and repeated keys, values without their unit and
// combinations that cannot be meant, and report all of it at once as [Problems], each with its line and column. Anchors,
// aliases, tags and ${VARIABLES} are not known: a file means what it says. Secrets never stand in it, only the names of files
// and environment variables that hold them.
//
// Every field's default is in defaults.go and nowhere else; what the parts of ktaudit are given is complete. The package
// opens nothing but the file itself: what it names may still turn out not to exist.
package config
