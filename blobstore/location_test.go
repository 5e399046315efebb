package blobstore_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
)

func TestWrongURLsAreExplained(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		url  string
		says []string
	}{
		{"", []string{"empty", "s3://BUCKET", "plain path"}},
		{"s4://b", []string{`unknown scheme "s4"`, `did you mean "s3"`, "azblob://CONTAINER", "gs://BUCKET", "mem://"}},
		{"gcs://b", []string{`unknown scheme "gcs"`, "did you mean gs://"}},
		{"minio://b", []string{"did you mean s3://"}},
		{"https://example.org/", []string{`unknown scheme "https"`, "did you mean s3list+https://"}},
		{"S3://b", []string{`unknown scheme "S3"`, `did you mean "s3"`}},
		{"s3:b", []string{"//", "s3://BUCKET"}},
		{"s3://", []string{"names no bucket", "s3://BUCKET"}},
		{"s3://b?regoin=x", []string{`unknown parameter "regoin"`, `did you mean "region"`}},
		{"s3://b?key=x", []string{`unknown parameter "key"`, "use_path_style"}},
		{"s3://b?region=a&region=b", []string{`"region" is given 2 times`}},
		{"s3://b?a;b", []string{"semicolon"}},
		{"s3://b/some/folder", []string{"s3://b?prefix=some/folder/"}},
		{"s3://localhost:9000/b", []string{"endpoint=http://localhost:9000"}},
		{"s3://b?prefix=x", []string{`prefix=x/`}},
		{"s3://b?prefix=../", []string{"not a plain path"}},
		{"s3://b?prefix=a//", []string{"not a plain path"}},
		{"s3://b?prefix=/", []string{"not a plain path"}},
		{"gs://b?anonimous=true", []string{`did you mean "anonymous"`}},
		{"azblob://c?protocoll=http", []string{`did you mean "protocol"`}},
		{"s3list+https://", []string{"names no host"}},
		{"s3list+https://example.org?rate=fast", []string{"bucket URL s3list+https://example.org?rate=fast: rate=fast: want requests a second"}},
		{"mem://name", []string{"no name"}},
		{"mem://?no_md5", []string{`did you mean "nomd5"`}},
		{"file://", []string{"names no folder"}},
		{"file://data/log", []string{`"data"`, "file:///data/log", "file://./data/log"}},
		{"file://" + folder + "?creat_dir=true", []string{`did you mean "create_dir"`}},
		{"file://" + folder + "?create_dir=1", []string{"true or false"}},
		{"file://" + folder + "/missing", []string{folder + "/missing does not exist", "file://" + folder + "/missing?create_dir=true"}},
		{folder + "/missing", []string{"does not exist", "file://" + folder + "/missing?create_dir=true"}},
		{"missing", []string{"missing does not exist", "file://./missing?create_dir=true"}},
		{file, []string{"is a file"}},
		{file + "/below", []string{"not a directory"}},
	} {
		_, bucketErr := blobstore.OpenBucket(t.Context(), test.url)
		_, storeErr := auditstore.Open(t.Context(), test.url)
		for _, err := range []error{bucketErr, storeErr} {
			if err == nil {
				t.Errorf("%q is opened", test.url)
				continue
			}
			for _, says := range test.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q: %q does not say %q", test.url, err, says)
				}
			}
		}
	}
}

func TestPasswordsInURLsAreNotRepeated(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"s3://AKIA:hunter2@b", "s3://AKIA:hunter2@b:x", "s3://AKIA:hunter2%zz@b"} {
		if _, err := blobstore.OpenBucket(t.Context(), url); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestHostileValuesAreNotRepeated: what stands in a parameter that is none may be a secret, and
// belongs in no log.
func TestHostileValuesAreNotRepeated(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ url, says string }{
		{"s3list+https://h?token=hunter2", `bucket URL s3list+https://h?token=…: unknown parameter "token"`},
		{"s3list+https://h?rate=5&x;y=hunter2&contact=%zzhunter2", "bucket URL s3list+https://h?rate=5&x&y=…&contact=…: "},
		{"s3://b?regoin=x&secret_access_key=hunter2", "s3://b?regoin=…&secret_access_key=…: "},
		{"s3://b?region=eu&secret=hunter2", `s3://b?region=eu&secret=…: unknown parameter "secret"`},
		{"s3://b?endpoint=http%3A%2F%2Fu:hunter2@h&profil=x", "s3://b?endpoint=…&profil=…: "},
		{"s3:b?token=hunter2", "bucket URL s3:b?token=…: "},
	} {
		err := blobstore.CheckURL(test.url)
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%q: %v", test.url, err)
		}
	}
}

func TestFoldersAreOpenedByURLAndByPath(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	relative, err := filepath.Rel(mustGetwd(t), folder)
	if err != nil {
		t.Fatal(err)
	}
	strange := filepath.Join(folder, "a b?c%20#d")
	if err := os.Mkdir(strange, 0o700); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		folder: folder, "file://" + folder: folder, "file://localhost" + folder + "/": folder,
		relative: folder, "file://./" + relative: folder, strange: strange,
		"file://" + folder + "/new/folder?create_dir=true":   folder + "/new/folder",
		"file://" + folder + "?prefix=within/":               folder + "/within",
		"file://./" + relative + "/made?create_dir=true":     folder + "/made",
		"file://" + folder + "/a%20b%3Fc%2520%23d?prefix=x/": strange + "/x",
	} {
		b, err := blobstore.OpenBucket(t.Context(), url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if err := b.WriteAll(t.Context(), "k", []byte(url), nil); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(filepath.Join(want, "k")); err != nil || string(got) != url {
			t.Errorf("%s: %q, %v", url, got, err)
		}
		left, err := filepath.Glob(filepath.Join(want, "k*"))
		if err != nil || len(left) != 1 {
			t.Errorf("%s: left %v, %v", url, left, err)
		}
		b.Close()
	}
}

func TestRanges(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]int{
		"s3://b": 6, "gs://b": 6, "azblob://b": 6, "s3://b?ranges=1": 1, "s3://b?ranges=16&prefix=a/": 16,
		"s3list+https://h": 1, "s3list+http://h:1/b": 1, "s3list+https://h?ranges=4&rate=5": 4,
		"/log": 1, "file:///log": 1, "mem://": 1,
	} {
		if err := blobstore.CheckURL(url); err != nil {
			t.Error(err)
		}
		if got := blobstore.Ranges(url); got != want {
			t.Errorf("%s: %d, want %d", url, got, want)
		}
	}
	for _, url := range []string{"s3://b?ranges=0", "s3://b?ranges=17", "s3://b?ranges=", "s3list+https://h?ranges=-1", "gs://b?ranges=x", "file:///log?ranges=2"} {
		if err := blobstore.CheckURL(url); err == nil || !strings.Contains(err.Error(), "ranges") || blobstore.Ranges(url) != 1 {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestMemoryIsNewEachTime(t *testing.T) {
	t.Parallel()
	for range 2 {
		b, err := blobstore.OpenBucket(t.Context(), "mem://")
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if exists, err := b.Exists(t.Context(), "k"); err != nil || exists {
			t.Errorf("exists: %v, %v", exists, err)
		}
		if err := b.WriteAll(t.Context(), "k", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func mustGetwd(t *testing.T) string {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return wd
}
