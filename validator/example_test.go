package validator_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/ktaudit/ktaudit/validator"
)

// Verify a proof file as a log published it. What the proof claims is its name: the last three
// parts of its path.
func ExampleVerify() {
	files, err := filepath.Glob("../testdata/vectors/whatsapp-v1/log/7/*/*")
	if err != nil || len(files) != 1 {
		log.Fatal("one proof file is expected: ", files, err)
	}
	parts := strings.Split(filepath.ToSlash(files[0]), "/")
	name, err := validator.ParseName(strings.Join(parts[len(parts)-3:], "/"))
	if err != nil {
		log.Fatal(err)
	}

	proof, err := os.Open(files[0])
	if err != nil {
		log.Fatal(err)
	}
	defer proof.Close()
	result, err := validator.Verify(context.Background(), name, proof, validator.WhatsAppV1(), validator.Options{})
	if err != nil {
		log.Fatal(err) // the proof could not be judged; this says nothing about the log
	}
	fmt.Printf("epoch %d: %s, %d inserted, %d unchanged\n", name.Epoch, result.Outcome, result.Inserted, result.Unchanged)
	// Output:
	// epoch 7: verified, 22 inserted, 148 unchanged
}

// A rejection is a result with a reason, not an error: here for bytes that are not a proof.
func ExampleVerify_rejected() {
	configuration, err := validator.ParseConfiguration("experimental:ExampleLabel")
	if err != nil {
		log.Fatal(err)
	}
	proof := strings.NewReader("not a proof")
	result, err := validator.Verify(context.Background(), validator.Name{Epoch: 7}, proof, configuration, validator.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s: %s\n", result.Outcome, result.Reason, result.Detail)
	// Output:
	// rejected: malformed_proof: byte 0: field 13 has the unknown wire type 6
}

// A proof's name is "{epoch}/{previous digest}/{digest}", in one spelling only.
func ExampleParseName() {
	_, err := validator.ParseName("07/" + strings.Repeat("ab", 32) + "/" + strings.Repeat("cd", 32))
	fmt.Println(err)
	// Output:
	// epoch "07" is not a canonical decimal number
}
