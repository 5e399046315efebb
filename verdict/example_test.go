package verdict_test

import (
	"fmt"
	"strings"

	"github.com/ktaudit/ktaudit/verdict"
)

// Two verdicts on neighbouring epochs are of one log if the second starts from the digest that the
// first ended with.
func ExampleBetween() {
	digest := func(digit string) string { return strings.Repeat(digit, 64) }
	first := verdict.Verdict{Epoch: 7, Outcome: verdict.Verified, PreviousDigest: digest("a"), Digest: digest("b")}
	second := verdict.Verdict{Epoch: 8, Outcome: verdict.Verified, PreviousDigest: digest("c"), Digest: digest("d")}

	switch verdict.Between(first, second) {
	case verdict.Linked:
		fmt.Println("epoch 8 continues epoch 7")
	case verdict.Broken:
		fmt.Println("the log has two histories: epoch 8 does not continue epoch 7")
	case verdict.Unknown:
		fmt.Println("nothing can be said")
	}
	// Output: the log has two histories: epoch 8 does not continue epoch 7
}

// A verdict is one JSON object. What a later version has added is passed over.
func ExampleDecode() {
	v, err := verdict.Decode([]byte(`{"schema":1,"namespace":"example.v1","epoch":17,"outcome":"rejected",
		"reason":"overlapping_labels","detail":"labels 4 and 9 overlap","batch":{"key":"17/a/b"},"new_field":true}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(v.Epoch, v.Outcome, v.Reason)
	// Output: 17 rejected overlapping_labels
}

// Reasons lists every reason of a rejection, so that nothing that counts or shows them leaves one
// out.
func ExampleReasons() {
	rejected := map[verdict.Reason]int{}
	for _, reason := range verdict.Reasons() {
		rejected[reason] = 0 // shown, too, when there is none yet
	}
	rejected[verdict.Equivocation]++
	fmt.Println(rejected[verdict.Equivocation], rejected[verdict.MalformedProof])
	// Output: 1 0
}
