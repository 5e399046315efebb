package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// files are what ktaudit's own test pins.
const files = "../../transparency/tlogproof/testdata/"

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(files + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestProofs: what ktaudit proves is proven by code of others, and a changed byte is found, too.
func TestProofs(t *testing.T) {
	keys := strings.Fields(string(read(t, "keys.txt")))
	auditor, witnesses := keys[0], keys[1:3]
	for name, epoch := range map[string]uint64{"verdict.tlog-proof": 103, "absence.tlog-proof": 105} {
		file := read(t, name)
		entry, err := check(file, auditor, witnesses)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var said struct {
			Namespace string
			Epoch     uint64
		}
		if err := json.Unmarshal(entry, &said); err != nil || said.Epoch != epoch || said.Namespace != "example" {
			t.Errorf("%s: %s, %v", name, entry, err)
		}
		for i := range file {
			changed := bytes.Clone(file)
			changed[i] ^= 1
			if got, err := check(changed, auditor, witnesses); err == nil && !bytes.Equal(got, entry) {
				t.Errorf("%s: byte %d, %q to %q, and it shows another entry", name, i, file[i], changed[i])
			} else if err == nil {
				t.Errorf("%s: byte %d, %q to %q, was not found", name, i, file[i], changed[i])
			}
		}
		for _, wrong := range [][]string{{keys[3]}, {strings.Replace(keys[1], "w1", "w3", 1)}} {
			if _, err := check(file, auditor, wrong); err == nil {
				t.Errorf("%s: cosigned by %s", name, wrong)
			}
		}
		if _, err := check(file, strings.Replace(auditor, "/example", "/other", 1), nil); err == nil {
			t.Errorf("%s: signed under another name", name)
		}
	}
}
