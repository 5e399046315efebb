package s3listing

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// amazons is an answer as Amazon prints it in its documentation's form, with all that may be in it.
const amazons = `<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>log</Name><Prefix>12/</Prefix><StartAfter>12/%21</StartAfter>` +
	`<NextContinuationToken>1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=</NextContinuationToken><KeyCount>3</KeyCount><MaxKeys>3</MaxKeys>` +
	`<Delimiter>/</Delimiter><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>` +
	`<Contents><Key>12/a+b%2Bc</Key><LastModified>2025-03-05T17:14:01.000Z</LastModified><ETag>&quot;9b2cf535f27731c974343645a3985328&quot;</ETag>` +
	`<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>5012</Size>` +
	`<Owner><ID>75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a</ID><DisplayName>x</DisplayName></Owner>` +
	`<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress></RestoreStatus><StorageClass>STANDARD</StorageClass></Contents>` +
	`<Contents><Key>12/%01%E2%98%BA</Key><LastModified>2025-03-05T17:14:02Z</LastModified><Size>0</Size></Contents>` +
	`<CommonPrefixes><Prefix>12/d/</Prefix></CommonPrefixes></ListBucketResult>
`

func TestParse(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		amazons,
		strings.Replace(amazons, ` xmlns="http://s3.amazonaws.com/doc/2006-03-01/"`, "", 1),
		strings.NewReplacer("</", "</s:", "<?", "<?", "<", "<s:", "xmlns=", "xmlns:s=").Replace(amazons),
		strings.Replace(amazons, "<KeyCount>3", "<KeyCount>2", 1),
		strings.Replace(amazons, "<Name>log</Name>", `<!-- x --><x:KeyCount xmlns:x="urn:x">9</x:KeyCount><Other><KeyCount>8</KeyCount></Other>`, 1),
	} {
		l, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("%q %q %t %q", l.Prefix, l.Delimiter, l.Truncated, l.Token)
		for _, o := range append(l.Objects, l.Folders...) {
			got += fmt.Sprintf("; %q %d %s %s", o.Key, o.Size, o.ModTime.Format(time.RFC3339), o.ETag)
		}
		const want = `"12/" "/" true "1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM="; ` +
			`"12/a b+c" 5012 2025-03-05T17:14:01Z "9b2cf535f27731c974343645a3985328"; "12/\x01☺" 0 2025-03-05T17:14:02Z ; "12/d/" 0 0001-01-01T00:00:00Z `
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// What was cut off is never a listing, and the error says that it was.
func TestCutListing(t *testing.T) {
	t.Parallel()
	for n := range len(strings.TrimSpace(amazons)) {
		l, err := Parse([]byte(amazons[:n]))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut after %d bytes: %+v, %v", n, l, err)
		}
	}
}

func TestMalformedListings(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("<a>", 100_000)
	for name, change := range map[string][2]string{
		"no key":             {"<Key>12/a+b%2Bc</Key>", ""},
		"two keys":           {"<Key>12/a+b%2Bc</Key>", "<Key>12/a</Key><Key>12/b</Key>"},
		"key that is no key": {"12/a+b%2Bc", "<b>12/a</b>"},
		"key that isn't text": {
			"12/a+b%2Bc", "12/%ff"},
		"no size":           {"<Size>5012</Size>", ""},
		"negative size":     {"5012", "-5"},
		"size with a space": {"5012", " 5"},
		"huge size":         {"5012", "9223372036854775808"},
		"no time":           {"<LastModified>2025-03-05T17:14:01.000Z</LastModified>", ""},
		"time":              {"2025-03-05T17:14:01.000Z", "yesterday"},
		"folder unnamed":    {"<Prefix>12/d/</Prefix>", ""},
		"negative count":    {"<KeyCount>3", "<KeyCount>-3"},
		"long token":        {"1ueGcxLPRx1Tr", strings.Repeat("x", maxToken)},
		"depth":             {"<Name>", deep + "<Name>"},
		"depth in an entry": {"<Owner>", "<Owner>" + deep},
		"entries":           {"<Contents>", strings.Repeat("<CommonPrefixes><Prefix>a</Prefix></CommonPrefixes>", maxEntries) + "<Contents>"},
		"attribute":         {"<Name>", "<Name a=b>"},
		"many attributes":   {"<Name>", "<Name" + strings.Repeat(` a=""`, maxXMLToken/5) + ">"},
		"long text":         {"<Name>", "<Name>" + strings.Repeat("x", maxXMLToken)},
		"control character": {"<Name>", "<Name>\x01"},
	} {
		text := strings.Replace(amazons, change[0], change[1], 1)
		if l, err := Parse([]byte(text)); text == amazons || err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(amazons))
	f.Add([]byte("<!DOCTYPE html><html><body><p>Sign in</body></html>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(b)
		if err != nil {
			return
		}
		// Whatever is taken for a listing says so, and is whole.
		if text := string(b); !strings.Contains(text, "ListBucketResult") || !strings.HasSuffix(strings.TrimRight(text, " \t\r\n"), ">") {
			t.Errorf("listing from %q", b)
		}
		if l.Truncated && l.Token == "" || l.keyCount != len(l.Objects) && l.keyCount != len(l.Objects)+len(l.Folders) {
			t.Errorf("%+v", l)
		}
		for _, o := range l.Objects {
			if o.Size < 0 || !utf8.ValidString(o.Key) {
				t.Errorf("%+v", o)
			}
		}
	})
}
