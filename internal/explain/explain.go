// Package explain says in plain words what each reason of a rejection and each kind of alert means.
//
// It promises one text for each word, for a reader who is woken by an alert and has never read the
// code: what it means, how bad that is, how it can come about innocently, what to do, which
// commands to run, and when it is over. Alerts and docs/runbook.md have their words from here.
// Tests demand a text for each reason of package verdict and each kind of package alert; which of
// them something is, is decided there.
package explain

import (
	"maps"
	"slices"
)

// Text explains a word.
type Text struct {
	Word    string `json:"word"`
	Title   string `json:"title"`   // one line
	Means   string `json:"means"`   // what it shows, and how sure that is
	HowBad  string `json:"how_bad"` // whether to get up for it, and why
	Benign  string `json:"benign"`  // how it can come about without anybody cheating
	Actions string `json:"actions"` // what to check and do
	Ends    string `json:"ends"`    // when it is over
	// Commands are what to run, the next one first, for CommandsFor to fill in.
	Commands []string `json:"commands"`
}

// texts has one text for each reason and for each kind.
var texts = func() map[string]Text {
	all := maps.Clone(reasons)
	maps.Copy(all, kinds)
	return all
}()

// Words returns all words that have a text, in alphabetical order.
func Words() []string { return slices.Sorted(maps.Keys(texts)) }

// Of returns the text of a word.
func Of(word string) (t Text, ok bool) {
	t, ok = texts[word]
	t.Word = word
	return t, ok
}

// Best returns the first of some words that has a text, the most specific one first; an empty
// string if none has.
func Best(words ...string) string {
	for _, word := range words {
		if _, ok := texts[word]; ok {
			return word
		}
	}
	return ""
}
