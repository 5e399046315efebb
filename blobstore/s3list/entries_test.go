package s3list

import (
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/s3listing"
)

// Whatever listing is taken for an answer to a prefix has only entries below it, in order.
func FuzzEntriesFor(f *testing.F) {
	f.Add([]byte(`<ListBucketResult><Prefix>1/</Prefix><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated><Contents><Key>1/a</Key>`+
		`<LastModified>2025-03-05T17:14:02Z</LastModified><Size>0</Size></Contents></ListBucketResult>`), "1/", "")
	f.Fuzz(func(t *testing.T, b []byte, prefix, delimiter string) {
		l, err := s3listing.Parse(b)
		if err != nil {
			return
		}
		objects, err := entriesFor(l, prefix, delimiter, "")
		for i, o := range objects {
			if err == nil && (!strings.HasPrefix(o.Key, prefix) || i > 0 && objects[i-1].Key >= o.Key) {
				t.Errorf("entry %q after prefix %q", o.Key, prefix)
			}
		}
	})
}
