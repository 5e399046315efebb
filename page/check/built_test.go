package check

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// The program for browsers is committed, so that a plain `go build` embeds it. It is built by
//
//	go generate ./page/check
//
// which runs the test below with -update. Beside it stands what it was built from: whoever changes
// that is reminded by the test.

var update = flag.Bool("update", false, "build the program for browsers anew")

const (
	program = "../assets/check.wasm.gz"
	glue    = "../assets/wasm_exec.js"
	pinned  = "built.json"
)

// built says what the committed program is.
type built struct {
	Go string `json:"go"`
	// Sources is the SHA-256 of all that it is built from but Go: this project's files by their
	// content, other modules by what go.sum says of them.
	Sources string `json:"sources"`
	Program string `json:"program"` // SHA-256, unpacked
	Bytes   int    `json:"bytes"`
	Packed  int    `json:"packed"`
}

func TestBuilt(t *testing.T) {
	if *update {
		build(t)
	}
	var have built
	if err := json.Unmarshal(read(t, pinned), &have); err != nil {
		t.Fatal(err)
	}
	if want := sources(t); have.Sources != want {
		t.Errorf("the program for browsers was built from other sources: run  go generate ./page/check  and commit what it changes")
	}
	if unpacked := unpack(t); fmt.Sprintf("%x", sha256.Sum256(unpacked)) != have.Program {
		t.Errorf("%s is not what %s says", program, pinned)
	}
	if have.Packed > 2_200_000 {
		t.Errorf("%d bytes: a reader who asks for the program waits for them", have.Packed)
	}
}

// The committed program is what its sources give, to the byte, and not what somebody committed in
// its place.
func TestBuiltReproducibly(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	var have built
	if err := json.Unmarshal(read(t, pinned), &have); err != nil {
		t.Fatal(err)
	}
	if have.Go != runtime.Version() {
		t.Logf("built by %s: this is %s, which may give other bytes", have.Go, runtime.Version())
		return
	}
	if !bytes.Equal(compile(t), unpack(t)) {
		t.Errorf("%s is not what its sources give: run  go generate ./page/check", program)
	}
	if !bytes.Equal(read(t, glue), glueOfGo(t)) {
		t.Errorf("%s is not that of this Go", glue)
	}
}

func build(t *testing.T) {
	t.Helper()
	wasm := compile(t)
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(wasm); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	pin, err := json.MarshalIndent(built{
		Go: runtime.Version(), Sources: sources(t), Program: fmt.Sprintf("%x", sha256.Sum256(wasm)), Bytes: len(wasm), Packed: packed.Len(),
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for file, data := range map[string][]byte{program: packed.Bytes(), glue: glueOfGo(t), pinned: append(pin, '\n')} {
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// forBrowsers runs go for a browser, without what a machine's settings would change.
func forBrowsers(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=", "GOWASM=", "GOEXPERIMENT=", "GOWORK=off", "GOTOOLCHAIN=local")
	out, err := cmd.Output()
	if err != nil {
		var said []byte
		if exit, ok := err.(*exec.ExitError); ok {
			said = exit.Stderr
		}
		t.Fatalf("go %s: %v: %s", strings.Join(args, " "), err, said)
	}
	return out
}

func compile(t *testing.T) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "check.wasm")
	forBrowsers(t, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", file, "./wasm")
	return read(t, file)
}

// glueOfGo is what Go needs in a browser, with its licence. It is the one file of the page that is
// not this project's, and fits only the Go that built the program: the committed copy is Go's own.
func glueOfGo(t *testing.T) []byte {
	t.Helper()
	root := strings.TrimSpace(string(forBrowsers(t, "env", "GOROOT")))
	var b bytes.Buffer
	b.WriteString("/*\nThis file is a part of Go (https://go.dev), under this license:\n\n")
	b.Write(read(t, filepath.Join(root, "LICENSE")))
	b.WriteString("*/\n")
	b.Write(read(t, filepath.Join(root, "lib", "wasm", "wasm_exec.js")))
	return b.Bytes()
}

// sources hashes what the program is built from.
func sources(t *testing.T) string {
	t.Helper()
	const format = `{{if not .Standard}}{{.ImportPath}} {{if .Module.Main}}{{.Dir}}{{range .GoFiles}} {{.}}{{end}}{{range .SFiles}} {{.}}{{end}}{{range .EmbedFiles}} {{.}}{{end}}` +
		`{{else}}{{.Module.Path}} {{.Module.Version}}{{end}}{{end}}`
	sum := strings.Split(string(read(t, "../../go.sum")), "\n")
	all := sha256.New()
	for line := range strings.Lines(string(forBrowsers(t, "list", "-deps", "-f", format, "./wasm"))) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case !strings.HasPrefix(fields[0], "github.com/ktaudit/ktaudit/"):
			i := slices.IndexFunc(sum, func(s string) bool { return strings.HasPrefix(s, fields[1]+" "+fields[2]+" ") })
			if i < 0 {
				t.Fatalf("go.sum lacks %s %s", fields[1], fields[2])
			}
			fmt.Fprintf(all, "%s: %s\n", fields[0], sum[i])
		default:
			for _, name := range fields[2:] {
				fmt.Fprintf(all, "%s/%s: %x\n", fields[0], name, sha256.Sum256(read(t, filepath.Join(fields[1], name))))
			}
		}
	}
	return fmt.Sprintf("%x", all.Sum(nil))
}

func unpack(t *testing.T) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(read(t, program)))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
