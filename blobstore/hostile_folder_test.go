//go:build unix

package blobstore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ktaudit/ktaudit/internal/localdisk"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

const batch = "5/prev/digest"

// logFolder is a log directory with two batches, open as a bucket, and a file outside it.
func logFolder(t *testing.T) (b *blob.Bucket, folder, outside string) {
	t.Helper()
	folder, outside = t.TempDir(), filepath.Join(t.TempDir(), "secret")
	b, err := OpenBucket(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	err = errors.Join(b.WriteAll(t.Context(), batch, []byte("five"), nil), b.WriteAll(t.Context(), "6/prev/digest", []byte("six"), nil),
		os.WriteFile(outside, []byte("not the log's"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return b, folder, outside
}

func wantNotPlain(t *testing.T, what string, err error, kind fs.FileMode) {
	t.Helper()
	odd, ok := errors.AsType[*localdisk.NotPlainError](err)
	if !ok || odd.Type != kind || gcerrors.Code(err) == gcerrors.NotFound {
		t.Errorf("%s: %v, want that something is %v", what, err, kind)
	}
}

// What stands in a batch's place and is no file is a fault: it is not read, not even with a context
// that never ends, is neither a second batch nor none, and costs no other epoch anything.
func TestHostileBatchIsNoFile(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]fs.FileMode{
		"link outside": fs.ModeSymlink, "link inside": fs.ModeSymlink, "link to nothing": fs.ModeSymlink, "pipe": fs.ModeNamedPipe,
		"second batch is a link": fs.ModeSymlink, "second batch is a pipe": fs.ModeNamedPipe,
		"folder is a link outside": fs.ModeSymlink, "folder is a link inside": fs.ModeSymlink, "epoch is a link": fs.ModeSymlink,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, folder, outside := logFolder(t)
			key := batch
			place := func(at string, make func(path string) error) {
				path := filepath.Join(folder, at)
				if err := errors.Join(os.RemoveAll(path), make(path)); err != nil {
					t.Fatal(err)
				}
			}
			link := func(to string) func(string) error {
				return func(path string) error { return os.Symlink(to, path) }
			}
			pipe := func(path string) error { return syscall.Mkfifo(path, 0o666) }
			switch name {
			case "link outside":
				place(key, link(outside))
			case "link inside":
				place(key, link("../../6/prev/digest"))
			case "link to nothing":
				place(key, link("nothing"))
			case "pipe":
				place(key, pipe)
			case "second batch is a link":
				key = "5/prev/other"
				place(key, link(outside))
			case "second batch is a pipe":
				key = "5/prev/other"
				place(key, pipe)
			case "folder is a link outside":
				key = "5/prev/secret"
				place("5/prev", link(filepath.Dir(outside)))
			case "folder is a link inside":
				place("5/prev", link("../6/prev"))
			case "epoch is a link":
				place("5", link("6"))
			}
			_, err := b.ReadAll(context.Background(), key)
			wantNotPlain(t, "read", err, kind)
			_, err = b.Attributes(t.Context(), key)
			wantNotPlain(t, "attributes", err, kind)
			_, _, err = b.ListPage(t.Context(), blob.FirstPageToken, 10, &blob.ListOptions{Prefix: "5/"})
			wantNotPlain(t, "list", err, kind)
			wantNotPlain(t, "present", Present(folder)(t.Context(), "5/"), kind)
			if !strings.HasPrefix(name, "second") {
				_, _, err = b.ListPage(t.Context(), blob.FirstPageToken, 10, nil)
				wantNotPlain(t, "list all", err, kind)
			}
			if kind == fs.ModeSymlink && key == batch && name != "link outside" {
				if err := b.WriteAll(t.Context(), "5/prev/digest/x", nil, nil); err == nil {
					t.Error("something was written through a link")
				}
			}
			data, err := b.ReadAll(t.Context(), "6/prev/digest")
			if err != nil || string(data) != "six" {
				t.Errorf("the other epoch: %q, %v", data, err)
			}
			if page, _, err := b.ListPage(t.Context(), blob.FirstPageToken, 10, &blob.ListOptions{Prefix: "6/"}); err != nil || len(page) != 1 {
				t.Errorf("the other epoch lists %v, %v", page, err)
			}
		})
	}
}

// Keys that lead elsewhere, or nowhere.
func TestHostileKeys(t *testing.T) {
	t.Parallel()
	b, folder, outside := logFolder(t)
	sibling := filepath.Base(filepath.Dir(outside))
	for _, key := range []string{
		"../" + sibling + "/secret", "5/../../" + sibling + "/secret", "/" + outside, outside, "5/../5/prev/digest", "./5/prev/digest",
		"5//prev/digest", "5/prev/digest/", "5/prev/digest/more", "5/prev", "5", "5\x00/prev/digest", "5/prev/" + strings.Repeat("d", 5000),
		"5__0x2f__prev__0x2f__digest",
	} {
		if data, err := b.ReadAll(t.Context(), key); err == nil {
			t.Errorf("%.60q is read: %q", key, data)
		}
		if page, _, err := b.ListPage(t.Context(), blob.FirstPageToken, 10, &blob.ListOptions{Prefix: key + "/"}); err != nil || len(page) > 0 {
			if key != "5" && key != "5/prev" {
				t.Errorf("%.60q lists %v, %v", key, page, err)
			}
		}
	}
	// Names of files are keys as they are.
	if err := os.WriteFile(filepath.Join(folder, "5__0x2f__prev__0x2f__other"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	page, _, err := b.ListPage(t.Context(), blob.FirstPageToken, 10, &blob.ListOptions{Prefix: "5/"})
	if err != nil || len(page) != 1 || page[0].Key != batch {
		t.Errorf("%v, %v", page, err)
	}
}

// A named pipe in the place of a bucket does not block.
func TestHostileFolderIsAPipe(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenBucket(t.Context(), pipe); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Error(err)
	}
}
