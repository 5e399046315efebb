package validator

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/verdict"
	"google.golang.org/protobuf/encoding/protowire"
)

const vectors = "../testdata/vectors"

// proofFile is one vector: where it lies, what its name says, and its bytes.
type proofFile struct {
	path string
	name Name
	data []byte
}

// readProofs returns all proofs below a folder of vectors.
func readProofs(t testing.TB, folder string) []proofFile {
	t.Helper()
	var proofs []proofFile
	root := filepath.Join(vectors, folder)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		parts := strings.Split(filepath.ToSlash(path), "/")
		name, err := ParseName(strings.Join(parts[len(parts)-3:], "/"))
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		proofs = append(proofs, proofFile{path, name, data})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(proofs) == 0 {
		t.Fatalf("no proofs below %s", root)
	}
	return proofs
}

// verify returns the verdict, which must be the same with and without Options.Ordered.
func verify(t testing.TB, name Name, data []byte, c Configuration) Result {
	t.Helper()
	r, err := Verify(context.Background(), name, bytes.NewReader(data), c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ordered, err := Verify(context.Background(), name, bytes.NewReader(data), c, Options{Ordered: true})
	if err != ErrUnordered && (err != nil || ordered != r) {
		t.Errorf("%s: %+v, but expecting an order: %+v, %v", name, r, ordered, err)
	}
	return r
}

// TestRealLogsAreOrdered: what akd writes is in the order that Options.Ordered expects.
func TestRealLogsAreOrdered(t *testing.T) {
	t.Parallel()
	for _, p := range slices.Concat(readProofs(t, "whatsapp-v1/log"), readProofs(t, "whatsapp-v1/medium")) {
		verifyOrdered(t, p.name, p.data, WhatsAppV1())
	}
}

// verifyOrdered checks that a proof in akd's order is recognised as such, and verifies.
func verifyOrdered(t testing.TB, name Name, data []byte, c Configuration) {
	t.Helper()
	r, err := Verify(context.Background(), name, bytes.NewReader(data), c, Options{Ordered: true})
	if err != nil || r.Outcome != Verified {
		t.Errorf("%s: expecting an order: %+v, %v", name, r, err)
	}
}

// TestOtherOrdersAreNoticed: a long proof in no order is not judged by a part of it.
func TestOtherOrdersAreNoticed(t *testing.T) {
	t.Parallel()
	p := readProofs(t, "whatsapp-v1/medium")[0]
	elements := split(t, p.data)
	rand.New(rand.NewPCG(6, 6)).Shuffle(len(elements), func(i, j int) { elements[i], elements[j] = elements[j], elements[i] })
	data := bytes.Join(elements, nil)
	if r, err := Verify(context.Background(), p.name, bytes.NewReader(data), WhatsAppV1(), Options{Ordered: true}); err != ErrUnordered {
		t.Errorf("expecting an order: %+v, %v", r, err)
	}
	if r, err := Verify(context.Background(), p.name, bytes.NewReader(data), WhatsAppV1(), Options{}); err != nil || r.Outcome != Verified {
		t.Errorf("expecting none: %+v, %v", r, err)
	}
}

// split cuts an encoded proof into its fields.
func split(t testing.TB, data []byte) [][]byte {
	t.Helper()
	var elements [][]byte
	for len(data) > 0 {
		_, _, n := protowire.ConsumeField(data)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		elements = append(elements, data[:n])
		data = data[n:]
	}
	return elements
}

func TestHonestVectorsVerify(t *testing.T) {
	t.Parallel()
	for folder, c := range map[string]Configuration{
		"whatsapp-v1/log":    WhatsAppV1(),
		"whatsapp-v1/tiny":   WhatsAppV1(),
		"whatsapp-v1/medium": WhatsAppV1(),
		"experimental/log":   Experimental("ExampleLabel"),
	} {
		for _, p := range readProofs(t, folder) {
			r := verify(t, p.name, p.data, c)
			if r.Outcome != Verified || r.Reason != "" || r.Detail != "" {
				t.Errorf("%s: %+v", p.path, r)
			}
			if r.Bytes != int64(len(p.data)) || r.Inserted == 0 {
				t.Errorf("%s: counts are wrong: %+v", p.path, r)
			}
		}
	}
}

// reasons is what each rejected case of the manifest is rejected for; the manifest gives only the
// outcome.
var reasons = map[string]verdict.Reason{
	"digests-swapped":             verdict.PreviousDigestMismatch,
	"empty":                       verdict.PreviousDigestMismatch,
	"hostile-varint":              verdict.MalformedProof,
	"huge-length-prefix":          verdict.MalformedProof,
	"inserted-moved-to-unchanged": verdict.PreviousDigestMismatch,
	"label-33-bytes":              verdict.MalformedProof,
	"label-len-257":               verdict.MalformedProof,
	"label-len-huge":              verdict.MalformedProof,
	"missing-label":               verdict.MalformedProof,
	"missing-label-len":           verdict.MalformedProof,
	"missing-label-val":           verdict.MalformedProof,
	"missing-value":               verdict.MalformedProof,
	"one-bit-of-one-label":        verdict.DigestMismatch,
	"one-bit-of-one-value":        verdict.PreviousDigestMismatch,
	"one-inserted-missing":        verdict.DigestMismatch,
	"one-unchanged-missing":       verdict.PreviousDigestMismatch,
	"trailing-garbage":            verdict.MalformedProof,
	"truncated":                   verdict.MalformedProof,
	"truncated-at-element":        verdict.PreviousDigestMismatch,
	"unchanged-moved-to-inserted": verdict.PreviousDigestMismatch,
	"value-31-bytes":              verdict.MalformedProof,
	"value-33-bytes":              verdict.MalformedProof,
	"value-empty":                 verdict.MalformedProof,
	"varint-11-bytes":             verdict.MalformedProof,
	"wrong-epoch-in-name":         verdict.DigestMismatch,
	"inserted-below-unchanged":    verdict.OverlappingLabels,
	"inserted-equals-unchanged":   verdict.OverlappingLabels,
	"inserted-one-bit":            verdict.NoncanonicalLabel,
	"inserted-short-label":        verdict.NoncanonicalLabel,
	"inserted-twice":              verdict.OverlappingLabels,
	"inserted-twice-same":         verdict.OverlappingLabels,
	"only-root-label":             verdict.NoncanonicalLabel,
	"trailing-bits":               verdict.NoncanonicalLabel,
	"unchanged-nested":            verdict.OverlappingLabels,
	"unchanged-root-label":        verdict.NoncanonicalLabel,
	"unchanged-twice":             verdict.OverlappingLabels,
}

func TestManifest(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(vectors, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest map[string]map[string]struct{ Expected Outcome }
	if err := json.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	for group, cases := range manifest {
		for name, c := range cases {
			t.Run(group+"/"+name, func(t *testing.T) {
				for _, p := range readProofs(t, filepath.Join(group, name)) {
					r := verify(t, p.name, p.data, WhatsAppV1())
					if r.Outcome != c.Expected {
						t.Fatalf("%s: %+v, want %s", p.name, r, c.Expected)
					}
					if want := reasons[name]; r.Reason != want {
						t.Errorf("%s: %s (%s), want %q", p.name, r.Reason, r.Detail, want)
					}
				}
			})
		}
	}
}
