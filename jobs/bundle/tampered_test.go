package bundle_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/bundle"
	"github.com/ktaudit/ktaudit/signature"
)

// What was changed without the manifest is damaged; what was changed with it proves nothing.
func TestTamperedBundles(t *testing.T) {
	t.Parallel()
	w := jobstest.NewWorld(t, simlog.Options{Epochs: 3, Tamper: map[uint64]simlog.Kind{2: simlog.Equivocate}})
	audits(t, w, true, 1, 2, 3)
	good := write(t, w, 2)
	for name, c := range map[string]struct {
		change func(files []file) []file
		honest bool // the manifest is made to fit
		want   error
	}{
		"a byte of a batch":         {change: edit("batches/", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }), want: bundle.ErrUnreadable},
		"a byte of a batch, fitted": {change: edit("batches/", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }), honest: true},
		"no batch, fitted":          {change: without("batches/"), honest: true},
		"a file is missing":         {change: without("batches/"), want: bundle.ErrUnreadable},
		"no verdict, fitted":        {change: without("verdicts/000000000002"), honest: true},
		"a file too many":           {change: func(f []file) []file { return append(f, file{"evidence/x.json", []byte("{}")}) }, want: bundle.ErrUnreadable},
		"no manifest":               {change: func(f []file) []file { return f[1:] }, want: bundle.ErrUnreadable},
		"a path that climbs": {change: func(f []file) []file {
			f[1].path = "evidence/../../etc"
			return f
		}, honest: true, want: bundle.ErrUnreadable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := c.change(unpack(t, good))
			if c.honest {
				files = fit(t, files)
			}
			got, err := verify(t.Context(), pack(t, files), signature.Keys{})
			if c.want != nil && !errors.Is(err, c.want) || c.want == nil && (err != nil || got.Result != bundle.NotShown) {
				t.Errorf("error %v, claims %+v", err, got.Claims)
			}
		})
	}
	for _, n := range []int{0, 10, len(good) / 2, len(good) - 1} {
		if _, err := verify(t.Context(), good[:n], signature.Keys{}); !errors.Is(err, bundle.ErrUnreadable) {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
}

type file struct {
	path string
	data []byte
}

func edit(prefix string, change func([]byte) []byte) func([]file) []file {
	return func(files []file) []file {
		for i, f := range files {
			if strings.HasPrefix(f.path, prefix) {
				files[i].data = change(bytes.Clone(f.data))
			}
		}
		return files
	}
}

func without(prefix string) func([]file) []file {
	return func(files []file) (kept []file) {
		for _, f := range files {
			if !strings.HasPrefix(f.path, prefix) {
				kept = append(kept, f)
			}
		}
		return kept
	}
}

func unpack(t testing.TB, data []byte) (files []file) {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file{h.Name, content})
	}
}

func pack(t testing.TB, files []file) []byte {
	t.Helper()
	data, err := packed(files)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func packed(files []file) ([]byte, error) {
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(64<<10))
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(z)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.path, Size: int64(len(f.data)), Mode: 0o644}); err != nil {
			return nil, errors.Join(err, z.Close())
		}
		_, writeErr := w.Write(f.data)
		err = errors.Join(err, writeErr)
	}
	err = errors.Join(err, w.Close(), z.Close())
	return b.Bytes(), err
}

func sum(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

// fit makes the manifest say what the files are.
func fit(t testing.TB, files []file) []file {
	t.Helper()
	var m bundle.Manifest
	if err := json.Unmarshal(files[0].data, &m); err != nil {
		t.Fatal(err)
	}
	keys := map[string][]string{}
	for _, f := range m.Files {
		keys[f.Path] = f.Keys
	}
	m.Files = nil
	for _, f := range files[1:] {
		m.Files = append(m.Files, bundle.File{Path: f.path, Size: int64(len(f.data)), SHA256: sum(f.data), Keys: keys[f.path]})
	}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return append([]file{{files[0].path, data}}, files[1:]...)
}

// Whatever is read, nothing panics, and what is no bundle says so.
func FuzzVerify(f *testing.F) {
	f.Add([]byte(`{"schema":1,"namespace":"n","epoch":1,"configuration":"whatsapp_v1","files":[]}`), "batches/a", []byte("x"))
	f.Add([]byte(`{"schema":1,"namespace":"n","epoch":1,"configuration":"whatsapp_v1","files":[{"path":"evidence/contradiction-1.json","size":2,`+
		`"sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}]}`), "evidence/contradiction-1.json", []byte("{}"))
	for _, path := range []string{"", "a/", "..", "/", "batches/../a", "evidence/\xff", strings.Repeat("a", 101), strings.Repeat("é/", 200), "a\x00b"} {
		f.Add([]byte(`{}`), path, []byte("x"))
	}
	f.Fuzz(func(t *testing.T, manifest []byte, path string, content []byte) {
		data, err := packed([]file{{"manifest.json", manifest}, {path, content}})
		if err != nil {
			return // no archive has a file of such a name
		}
		for _, b := range [][]byte{data, manifest} {
			got, err := verify(t.Context(), b, signature.Keys{})
			if err != nil && !errors.Is(err, bundle.ErrUnreadable) {
				t.Errorf("error of another kind: %v", err)
			}
			if err == nil && got.Result != bundle.NotShown && len(got.Batches)+len(got.Signed) == 0 {
				t.Errorf("shown by nothing: %+v", got.Claims)
			}
			if err == nil && got.Holds {
				t.Errorf("proven without a key of the reader's: %+v", got.Claims)
			}
		}
	})
}
