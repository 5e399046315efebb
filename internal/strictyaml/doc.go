// Package strictyaml reads a YAML file into structs, strictly, and writes them as one again.
//
// It promises to refuse unknown and repeated keys, values without their unit, anchors, aliases,
// tags and ${VARIABLES}, to report all of a file's problems at once, each with its line and column
// and with the key that was probably meant, and to stop at files that are too large or too deeply
// nested. What values mean together is left to its users.
//
// The tag yaml is the field's key in the file; zero is the word that the file uses for the zero
// value. A list tagged single takes one mapping as well as a list of them; the text of a field
// tagged alone may stand for the whole mapping. Durations and sizes have a unit; numbers start
// at 1.
package strictyaml
