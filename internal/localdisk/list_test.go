package localdisk_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ktaudit/ktaudit/internal/localdisk"
	"gocloud.dev/blob"
)

// A folder with more entries than are held at a time is listed in full and in order, empty folders
// among them or not, page by page.
func TestHostileFullFolder(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	var want []string
	for i := range 11_000 {
		name := fmt.Sprintf("%d", i*7919%11_000)
		var err error
		switch i % 100 {
		case 0:
			err = os.Mkdir(filepath.Join(root, name), 0o777)
		case 1:
			err = os.Mkdir(filepath.Join(root, name), 0o777)
			name += "/object"
			fallthrough
		default:
			want = append(want, name)
			err = errors.Join(err, os.WriteFile(filepath.Join(root, name), nil, 0o666))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(want)
	bucket := localdisk.Bucket(root)
	defer bucket.Close()
	var pages []string
	for token := blob.FirstPageToken; len(token) > 0; {
		page, next, err := bucket.ListPage(t.Context(), token, 4000, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page {
			pages = append(pages, o.Key)
		}
		token = next
	}
	if !slices.Equal(pages, want) {
		t.Errorf("listed %d in pages, want %d in order", len(pages), len(want))
	}
}
