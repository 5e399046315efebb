package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/ktaudit/ktaudit/verdict"
)

// Schema is the version of the Manifest that this program writes.
const Schema = 1

// The bounds of a bundle. Writing keeps to them, and reading holds others to them.
const (
	maxFiles      = 500
	maxManifest   = 1 << 20
	maxSmallFile  = 16 << 20 // of any file but a batch
	maxSmallFiles = 64 << 20 // of all of them
	maxBatchFile  = 2 << 30
	maxKeys       = 8  // names of one batch
	maxVerifying  = 64 // keys of the log
	maxWindow     = 8 << 20
)

// manifestPath is the first file of a bundle. The folders of the others follow.
const (
	manifestPath = "manifest.json"
	verdictsDir  = "verdicts"
	overruledDir = "overruled"
	signedDir    = "signatures"
	evidenceDir  = "evidence"
	incidentsDir = "incidents"
	sealsDir     = "seals"
	batchesDir   = "batches"
)

// ErrUnreadable says that a file is no bundle, or a damaged one: nothing can be said of what it
// claims.
var ErrUnreadable = errors.New("not a readable bundle")

// Manifest is the first file of a bundle.
type Manifest struct {
	Schema    int    `json:"schema"`
	Namespace string `json:"namespace"`
	Epoch     uint64 `json:"epoch"`
	// Configuration is how the log's tree is hashed; VerifyingKeys are those that the auditor
	// trusts, with the epochs that each is trusted for. Both are claims.
	Configuration string   `json:"configuration"`
	VerifyingKeys []string `json:"verifying_keys,omitempty"`
	Software      string   `json:"software"`
	// Files are all others, in order; Missing is what the audit store does not have.
	Files   []File   `json:"files"`
	Missing []string `json:"missing,omitempty"`
}

// File is one file of a bundle.
type File struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// Keys are the names under which the log published a batch, as far as they are known.
	Keys []string `json:"keys,omitempty"`
}

func (f File) dir() string { return path.Dir(f.Path) }

// verdictPath and overrulingPath are where the verdicts on an epoch are.
func verdictPath(epoch uint64) string { return fmt.Sprintf("%s/%012d.json", verdictsDir, epoch) }

func overrulingPath(epoch, number uint64) string {
	return fmt.Sprintf("%s/%012d-%03d.json", overruledDir, epoch, number)
}

func (f File) isBatch() bool { return f.dir() == batchesDir }

// IsOverruling reports whether the file is an overruling of an epoch's verdict.
func (f File) IsOverruling(epoch uint64) bool {
	return strings.HasPrefix(f.Path, fmt.Sprintf("%s/%012d-", overruledDir, epoch))
}

var hash = regexp.MustCompile(`^[0-9a-f]{64}$`)

// parseManifest reads and checks a manifest.
func parseManifest(data []byte) (m Manifest, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("%s: %w", manifestPath, err)
	}
	if m.Schema != Schema {
		return m, fmt.Errorf("%s: schema %d: this program knows schema %d", manifestPath, m.Schema, Schema)
	}
	if err := verdict.CheckKey(m.Namespace, m.Epoch); err != nil {
		return m, fmt.Errorf("%s: %w", manifestPath, err)
	}
	if len(m.Files) > maxFiles || len(m.VerifyingKeys) > maxVerifying || len(m.Missing) > maxFiles {
		return m, fmt.Errorf("%s: too many files or keys", manifestPath)
	}
	seen := map[string]bool{}
	small := int64(0)
	for _, f := range m.Files {
		if err := f.check(); err != nil {
			return m, fmt.Errorf("%s: %w", manifestPath, err)
		}
		if seen[f.Path] {
			return m, fmt.Errorf("%s: %s twice", manifestPath, f.Path)
		}
		seen[f.Path] = true
		if !f.isBatch() {
			small += f.Size
		}
	}
	if small > maxSmallFiles {
		return m, fmt.Errorf("%s: files of %d bytes beside the batches, the limit is %d", manifestPath, small, maxSmallFiles)
	}
	return m, nil
}

// check takes a path of one known folder and a plain name, and a size within the limits.
func (f File) check() error {
	dir, name, ok := strings.Cut(f.Path, "/")
	if !ok || verdict.CheckName("file", name) != nil {
		return fmt.Errorf("path %.100q is none of a bundle", f.Path)
	}
	limit := int64(maxSmallFile)
	switch dir {
	case verdictsDir, overruledDir, signedDir, evidenceDir, incidentsDir, sealsDir:
	case batchesDir:
		limit = maxBatchFile
	default:
		return fmt.Errorf("path %.100q is none of a bundle", f.Path)
	}
	switch {
	case f.Size < 0 || f.Size > limit:
		return fmt.Errorf("%s: %d bytes, the limit is %d", f.Path, f.Size, limit)
	case !hash.MatchString(f.SHA256):
		return fmt.Errorf("%s: no SHA-256", f.Path)
	case len(f.Keys) > maxKeys || len(f.Keys) > 0 && dir != batchesDir:
		return fmt.Errorf("%s: too many names", f.Path)
	}
	return nil
}
