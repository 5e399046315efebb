package jobstest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// ShuffledBatch returns a batch of the vectors, for a test of a package two folders down: its name,
// its elements in no order, and as it was published.
func ShuffledBatch(t testing.TB) (name string, shuffled, published []byte) {
	t.Helper()
	paths, err := filepath.Glob("../../testdata/vectors/whatsapp-v1/medium/3/*/*")
	if err != nil || len(paths) != 1 {
		t.Fatalf("vectors are %v, %v", paths, err)
	}
	proof, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	var elements [][]byte
	for rest := proof; len(rest) > 0; {
		n := protowire.ConsumeFieldValue(1, protowire.BytesType, rest[1:])
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		elements, rest = append(elements, rest[:1+n]), rest[1+n:]
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(elements), func(i, j int) { elements[i], elements[j] = elements[j], elements[i] })
	return fmt.Sprintf("3/%s/%s", filepath.Base(filepath.Dir(paths[0])), filepath.Base(paths[0])), slices.Concat(elements...), proof
}
