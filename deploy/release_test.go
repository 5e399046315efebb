package deploy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// TestRelease builds a release of what is in the working tree, twice, on what could be two machines,
// and looks at the bytes: they are the same, and what is in the packages is what must be.
func TestRelease(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the program: left out with -short")
	}
	if runtime.GOOS+"/"+runtime.GOARCH != "linux/amd64" {
		t.Skip("looks at a release for linux/amd64")
	}
	tools, err := filepath.Abs("../.tools/bin")
	if err != nil {
		t.Fatal(err)
	}
	path := "PATH=" + tools + string(os.PathListSeparator) + os.Getenv("PATH")
	one := repository(t)
	two := filepath.Join(t.TempDir(), "elsewhere", "under another name")
	git(t, ".", "clone", "-q", one, two)
	release := func(root string, environment ...string) (out string) {
		out = filepath.Join(t.TempDir(), "out")
		cmd := exec.CommandContext(t.Context(), "sh", "-c", `umask "$1" && exec scripts/release --snapshot v0.0.1`, "sh", environment[0])
		cmd.Dir = root
		cmd.Env = append(append(os.Environ(), path, "OUT="+out, "PLATFORMS=linux/amd64"), environment[1:]...)
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("scripts/release: %v\n%s", err, said)
		}
		return out
	}
	first := release(one, "022")
	second := release(two, "077", "TZ=Asia/Tokyo", "GOFLAGS=-mod=mod -tags=elsewhere", "GOAMD64=v3", "LC_ALL=C.UTF-8", "HOME="+os.Getenv("HOME"))
	if t.Failed() {
		return
	}
	var names []string
	entries, err := os.ReadDir(first)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
		a, errA := os.ReadFile(filepath.Join(first, e.Name()))
		b, errB := os.ReadFile(filepath.Join(second, e.Name()))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs between two builds of one commit (%v, %v)", e.Name(), errA, errB)
		}
	}
	want := []string{"SHA256SUMS", "ktaudit_0.0.1_linux_amd64.cdx.json", "ktaudit_0.0.1_linux_amd64.deb", "ktaudit_0.0.1_linux_amd64.rpm", "ktaudit_0.0.1_linux_amd64.tar.gz"}
	if !slices.Equal(names, want) {
		t.Fatalf("a release is %q, want %q", names, want)
	}
	check := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = first
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	file := func(name string) string { return filepath.Join(first, "ktaudit_0.0.1_linux_amd64"+name) }
	t.Run("archive", func(t *testing.T) { testArchive(t, file(".tar.gz")) })
	t.Run("deb", func(t *testing.T) { testDeb(t, file(".deb")) })
	t.Run("rpm", func(t *testing.T) {
		data, err := os.ReadFile(file(".rpm"))
		if err != nil || !bytes.HasPrefix(data, []byte{0xed, 0xab, 0xee, 0xdb}) {
			t.Errorf("no RPM package (%v)", err)
		}
		for _, path := range []string{"ktaudit-worker.service", "ktaudit.1.gz", "ktaudit.fish"} {
			if !bytes.Contains(data, []byte(path)) { // the list of files is not compressed
				t.Errorf("%s is not in it", path)
			}
		}
	})
	t.Run("bill of materials", func(t *testing.T) { testBill(t, one, file(".cdx.json")) })
}

// repository makes a repository of one commit that has the files of the working tree, as they are.
func repository(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "ktaudit")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(git(t, "..", "ls-files", "-co", "--exclude-standard", "-z"), "\x00") {
		info, err := os.Lstat(filepath.Join("..", name))
		if name == "" || err != nil || !info.Mode().IsRegular() { // removed, but not committed
			continue
		}
		data, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	git(t, root, "init", "-q", "-b", "main")
	git(t, root, "add", "-A")
	git(t, root, "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-q", "-m", "as it is")
	return root
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %q: %v", args, err)
	}
	return string(out)
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func testArchive(t *testing.T, archive string) {
	listing := output(t, "tar", "-tvzf", archive)
	for _, want := range []string{
		`-rwxr-xr-x 0/0 .* ktaudit`, `-rw-r--r-- 0/0 .* ktaudit\.1\.gz`, `-rw-r--r-- 0/0 .* completions/_ktaudit`,
		`-rw-r--r-- 0/0 .* deploy/systemd/ktaudit\.service`, `-rw-r--r-- 0/0 .* LICENSE`,
	} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).MatchString(listing) {
			t.Errorf("no %s in\n%s", want, listing)
		}
	}
	dir := t.TempDir()
	output(t, "tar", "-C", dir, "-xzf", archive)
	said := output(t, filepath.Join(dir, "ktaudit"), "version")
	if !strings.HasPrefix(said, "ktaudit v0.0.1\ncommit  ") || strings.Contains(said, "modified") {
		t.Errorf("the program says that it is\n%s", said)
	}
}

func testDeb(t *testing.T, deb string) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skipf("dpkg-deb is missing: %v", err)
	}
	root := t.TempDir()
	output(t, "dpkg-deb", "-x", deb, root)
	for _, name := range []string{
		"usr/bin/ktaudit", "usr/share/man/man1/ktaudit.1.gz", "usr/share/bash-completion/completions/ktaudit",
		"usr/share/zsh/vendor-completions/_ktaudit", "usr/share/fish/vendor_completions.d/ktaudit.fish",
		"usr/share/doc/ktaudit/copyright", "usr/share/doc/ktaudit/ktaudit.example.yaml", "etc/ktaudit",
	} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
	ours, err := filepath.Glob("systemd/*.service")
	if err != nil || len(ours) == 0 {
		t.Fatal(err)
	}
	for _, unit := range ours {
		want, err := os.ReadFile(unit)
		got, errGot := os.ReadFile(filepath.Join(root, "usr/lib/systemd/system", filepath.Base(unit)))
		if err != nil || errGot != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not in the package as it is here (%v, %v)", unit, err, errGot)
		}
	}
	about := output(t, "dpkg-deb", "-f", deb, "Package", "Version", "Architecture")
	if want := "Package: ktaudit\nVersion: 0.0.1\nArchitecture: amd64\n"; about != want {
		t.Errorf("it says\n%s", about)
	}
	if said := output(t, filepath.Join(root, "usr/bin/ktaudit"), "demo", "--epochs", "3"); !strings.Contains(said, "3 of 3 epochs verified") {
		t.Errorf("the program in it says\n%s", said)
	}
}

// testBill: every module that the program is built from, and nothing else, is in the bill.
func testBill(t *testing.T, root, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var bill struct {
		BomFormat, SpecVersion string
		Metadata               struct {
			Component struct{ Name, Version, PURL string }
		}
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(data, &bill); err != nil {
		t.Fatal(err)
	}
	if bill.BomFormat != "CycloneDX" || bill.Metadata.Component.PURL != "pkg:golang/github.com/ktaudit/ktaudit@v0.0.1" {
		t.Errorf("%+v", bill.Metadata)
	}
	var got []string
	for _, c := range bill.Components {
		if c.Name != "std" {
			got = append(got, c.Name+" "+c.Version)
		}
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-tags", "disable_grpc_modules", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", "./cmd/ktaudit")
	list.Dir, list.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(want)
	want = slices.DeleteFunc(slices.Compact(want), func(s string) bool { return s == "" })
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the bill has\n%q\nthe program is built from\n%q", got, want)
	}
}

// TestReleaseRefuses: a release is made of a tag, with images that are pinned.
func TestReleaseRefuses(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"1.0.0"}, {"v1"}, {"v1.0.0", "more"}} {
		if out, err := exec.CommandContext(t.Context(), "../scripts/release", args...).CombinedOutput(); err == nil {
			t.Errorf("scripts/release %q: %s", args, out)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "../scripts/pin-images", "--check").CombinedOutput(); err != nil {
		t.Errorf("images that are not pinned: %v\n%s", err, out)
	}
	root := t.TempDir()
	for _, name := range []string{"Dockerfile", "scripts/pin-images", "scripts/common.sh"} {
		text, err := os.ReadFile(filepath.Join("..", name))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(root, name), text, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	git(t, root, "init", "-q")
	git(t, root, "add", "-A")
	file := filepath.Join(root, "Dockerfile")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, regexp.MustCompile(`@sha256:[0-9a-f]+`).ReplaceAll(text, nil), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(root, "scripts/pin-images"), "--check").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Dockerfile: golang:") {
		t.Errorf("an image without a digest passes: %v, %s", err, out)
	}
}

// TestGoInstall has go read the module as go install ...@version gets it, from a proxy that has what
// git has: every package and everything embedded is there. Building it once more would take longer
// than all the rest.
func TestGoInstall(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("makes a zip of the module: left out with -short")
	}
	version := module.Version{Path: "github.com/ktaudit/ktaudit", Version: fmt.Sprintf("v0.0.0-test.%d", os.Getpid())}
	root := repository(t)
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if regexp.MustCompile(`(?m)^(replace|exclude)\b`).Match(mod) {
		t.Error("go.mod replaces or excludes modules, and go install refuses that")
	}
	archive := filepath.Join(t.TempDir(), "module.zip")
	file, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(zip.CreateFromVCS(file, version, root, "HEAD", ""), file.Close()); err != nil {
		t.Fatalf("the module cannot be published: %v", err)
	}
	unpacked := filepath.Join(t.TempDir(), "module")
	if err := zip.Unzip(unpacked, version, archive); err != nil {
		t.Fatal(err)
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{range .EmbedFiles}}{{$.ImportPath}}/{{.}}\n{{end}}", "./cmd/ktaudit")
	list.Dir, list.Env = unpacked, append(os.Environ(), "GOFLAGS=-mod=mod", "CGO_ENABLED=0")
	out, err := list.CombinedOutput()
	if err != nil || !strings.Contains(string(out), version.Path+"/page/assets/check.wasm.gz\n") {
		t.Errorf("go list: %v\n%s", err, out)
	}
}
