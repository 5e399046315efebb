//go:build linux

package main

import (
	"crypto/tls"
	"debug/elf"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

const certificates = "/etc/ssl/certs/ca-certificates.crt"

// TestImage puts the Dockerfile's last stage together from a binary built here and runs it as a
// container would: with that stage's files as the whole file system, as its user and with its
// environment.
func TestImage(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the program anew: left out with -short")
	}
	image := assembleImage(t)

	t.Run("static binary", func(t *testing.T) {
		f, err := elf.Open(filepath.Join(image.root, image.entrypoint))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				t.Error("the binary wants a dynamic loader")
			}
		}
	})
	t.Run("version", func(t *testing.T) {
		out := image.run(t, 0, "version")
		if !strings.Contains(out, "v0.0.0-image") {
			t.Errorf("ktaudit version prints %q, want the version the linker was given", out)
		}
	})
	t.Run("demo", func(t *testing.T) {
		out := image.run(t, 0, "demo", "--epochs", "5")
		if !strings.Contains(out, "5 of 5 epochs verified") {
			t.Errorf("ktaudit demo prints %q", out)
		}
	})
	for name, other := range map[string]struct{ uid, gid int }{
		"another user of group 0": {1000770000, 0}, // as OpenShift has it
		"its own user":            {image.uid, image.gid},
	} {
		t.Run("a read-only file system, "+name, func(t *testing.T) { testImageReadOnly(t, image, other.uid, other.gid) })
	}
	t.Run("TLS", func(t *testing.T) { testImageTLS(t, image) })
}

// testImageReadOnly shows that the program needs to write to no folder but /data, where it keeps what
// it remembers, and no name for its user.
func testImageReadOnly(t *testing.T, image image, uid, gid int) {
	if os.Getuid() != 0 {
		t.Skip("mounts: needs root")
	}
	data := t.TempDir()
	openUp(t, filepath.Dir(data))
	if err := errors.Join(os.Chown(data, image.uid, 0), os.Chmod(data, image.dataMode)); err != nil {
		t.Fatal(err)
	}
	run := func(want string, args ...string) {
		t.Helper()
		script := `mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && mount --bind "$2" "$1/data" && shift 2 && exec "$@"`
		line := []string{"-m", "sh", "-c", script, "sh", image.root, data, "env", "-i"}
		line = append(append(line, image.env...), "chroot", fmt.Sprintf("--userspec=%d:%d", uid, gid), "--groups=", image.root, image.entrypoint)
		line[slices.Index(line, "chroot")] = "/usr/sbin/chroot"
		out, err := exec.CommandContext(t.Context(), "unshare", append(line, args...)...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("ktaudit %q as %d:%d: %v, want %q:\n%s", args, uid, gid, err, want, out)
		}
	}
	run("5 of 5 epochs verified", "demo", "--epochs", "5")
	run("", "simulate", "--log-directory", "/data/log", "--epochs", "3")
	run("3 of 3", "run", "--namespace", "example", "--log-directory", "/data/log", "--audit-store", "file:///data/audit?create_dir=true",
		"--from", "1", "--to", "3", "--settle", "0s")
	run("signing.key", "keygen", "--out", "/data/signing.key")
}

// testImageTLS shows that the program in the image trusts the certificates in the image: it speaks
// to a server whose certificate is signed by one that was added to them, and does not before that.
func testImageTLS(t *testing.T, image image) {
	var requests atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.Header().Set("Content-Type", "application/xml")
		fmt.Fprint(w, `<ListBucketResult><Name>log</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>`)
	}))
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the refusals below are wanted
	server.StartTLS()
	t.Cleanup(server.Close)

	args := []string{"verify", "--epoch", "7", "s3://log?region=us-east-1&use_path_style=true&anonymous=true&endpoint=" + server.URL}
	out := image.run(t, exitFailed, args...)
	if !strings.Contains(out, "x509") || requests.Load() != 0 {
		t.Fatalf("a server with an unknown certificate: %d requests, output %q, want none and an x509 error", requests.Load(), out)
	}

	bundle := filepath.Join(image.root, certificates)
	roots, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(roots), "BEGIN CERTIFICATE"); n < 50 {
		t.Errorf("%s has %d certificates, want the public ones", certificates, n)
	}
	roots = append(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})...)
	if err := os.WriteFile(bundle, roots, 0o644); err != nil {
		t.Fatal(err)
	}
	out = image.run(t, exitFound, args...)
	if !strings.Contains(out, "missing") || requests.Load() == 0 {
		t.Errorf("a server with a known certificate: %d requests, output %q, want epoch 7 to be missing", requests.Load(), out)
	}
}

// image is the Dockerfile's last stage.
type image struct {
	root       string
	entrypoint string
	dir        string
	env        []string
	uid, gid   int
	dataMode   os.FileMode // of /data
}

// assembleImage reads the last stage of the Dockerfile and builds its file system in a temporary
// directory.
func assembleImage(t *testing.T) image {
	t.Helper()
	dockerfile, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	img := image{root: t.TempDir(), uid: -1}
	if err := os.Chmod(img.root, 0o755); err != nil {
		t.Fatal(err)
	}
	openUp(t, filepath.Dir(img.root))
	var from string
	for line := range strings.Lines(string(dockerfile)) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "FROM":
			from = words[len(words)-1]
			img.env, img.dir = nil, ""
		case "COPY":
			if from == "scratch" {
				img.copy(t, words[1:])
			}
		case "ENV":
			img.env = append(img.env, words[1:]...)
		case "WORKDIR":
			img.dir = words[1]
		case "RUN":
			if mode, ok := strings.CutPrefix(line, "RUN mkdir -p /out/root/data && chmod "); ok {
				octal, _, _ := strings.Cut(mode, " ")
				img.dataMode = os.FileMode(number8(t, octal))
			}
		case "USER":
			uid, gid, _ := strings.Cut(words[1], ":")
			img.uid, img.gid = number(t, uid), number(t, gid)
		case "ENTRYPOINT":
			img.entrypoint = strings.Trim(words[1], `[]"`)
		}
	}
	if from != "scratch" || img.uid <= 0 || img.gid <= 0 || img.entrypoint == "" {
		t.Fatalf("the last stage is FROM %s with user %d:%d and entry point %q, want scratch, not root, a program",
			from, img.uid, img.gid, img.entrypoint)
	}
	return img
}

// copy does one COPY instruction of the last stage.
func (img image) copy(t *testing.T, words []string) {
	t.Helper()
	var chown string
	for len(words) > 0 && strings.HasPrefix(words[0], "--") {
		if owner, ok := strings.CutPrefix(words[0], "--chown="); ok {
			chown = owner
		}
		words = words[1:]
	}
	if len(words) != 2 {
		t.Fatalf("COPY %q: this test knows one source and one target", words)
	}
	target := filepath.Join(img.root, words[1])
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		t.Fatal(err)
	}
	switch words[0] {
	case "/out/ktaudit":
		build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=v0.0.0-image", "-o", target, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", build.Args, err, out)
		}
	case certificates:
		data, err := os.ReadFile(certificates)
		if err != nil {
			// from scripts/test, for a machine that has none
			data, err = os.ReadFile("../../.tools/ca-certificates.crt")
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, data, 0o644); err != nil {
			t.Fatal(err)
		}
	case "/out/root/":
		data := filepath.Join(target, "data")
		if err := os.MkdirAll(data, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(data, img.dataMode); err != nil {
			t.Fatal(err)
		}
		if uid, gid, ok := strings.Cut(chown, ":"); ok && os.Getuid() == 0 {
			if err := os.Chown(data, number(t, uid), number(t, gid)); err != nil {
				t.Fatal(err)
			}
		}
	default:
		t.Fatalf("COPY %s: teach this test where it comes from", words[0])
	}
}

// run runs the image's program and returns all it prints.
func (img image) run(t *testing.T, wantStatus int, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), img.entrypoint, args...)
	cmd.Path, cmd.Err = img.entrypoint, nil // a path inside the image, not on this machine
	cmd.Env, cmd.Dir = slices.Clone(img.env), img.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: img.root, Credential: &syscall.Credential{
		Uid: uint32(img.uid), Gid: uint32(img.gid), NoSetGroups: os.Getuid() != 0,
	}}
	if os.Getuid() != 0 {
		// Without root, a user namespace in which the caller is the image's user gives the right to
		// chroot.
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: img.uid, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: img.gid, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("%s in the image: %v", img.entrypoint, err)
	}
	if got := cmd.ProcessState.ExitCode(); got != wantStatus {
		t.Errorf("ktaudit %q in the image exits with %d, want %d:\n%s", args, got, wantStatus, out)
	}
	return string(out)
}

// openUp lets another user pass through the test's temporary directory, which only its owner may
// enter.
func openUp(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

func number8(t *testing.T, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 8, 12)
	if err != nil {
		t.Fatalf("mode %q is not a number", s)
	}
	return n
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("user %q is not a number, which scratch has no names for", s)
	}
	return n
}

// TestImageContext shows that .dockerignore lets through every folder the program is built from.
func TestImageContext(t *testing.T) {
	ignore, err := os.ReadFile("../../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	const ours = "github.com/ktaudit/ktaudit/"
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for pkg := range strings.FieldsSeq(string(out)) {
		path, found := strings.CutPrefix(pkg, ours)
		if !found {
			continue
		}
		seen++
		top, _, _ := strings.Cut(path, "/")
		if !slices.Contains(strings.Fields(string(ignore)), "!"+top) {
			t.Errorf(".dockerignore keeps %s out of the image's build, which needs %s", top, pkg)
		}
	}
	if seen == 0 {
		t.Fatalf("go list -deps shows no package below %s", ours)
	}
}
