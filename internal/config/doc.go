// Package config reads ktaudit's configuration file: which logs to audit, where their data is, and
// where to send alerts.
//
// It promises to read the file strictly. [Load] and [Parse] refuse unknown and repeated keys,
// values without their unit and combinations that make no sense, and report all of them at once as
// [Problems], each with its line and column. Anchors, aliases, tags and ${VARIABLES} are not
// supported: a file means what it says. It contains no secrets, only the names of files and
// environment variables that hold them.
//
// Every default is in defaults.go and nowhere else, so that the other packages take complete
// values. The package opens nothing but the file itself, and secrets when asked: what the file
// names may not exist.
package config
