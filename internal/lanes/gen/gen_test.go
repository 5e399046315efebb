package main

import (
	"bytes"
	"os"
	"testing"
)

// TestCommitted regenerates the kernels and compares them with the files in the repository.
func TestCommitted(t *testing.T) {
	t.Parallel()
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range files {
		got, err := os.ReadFile(folder + file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the generator writes; run go generate in package lanes", file)
		}
	}
}
