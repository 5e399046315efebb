package s3listing

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// MaxBytes holds 1,000 keys of the greatest length S3 allows, each byte escaped, twice over.
	MaxBytes   = 8 << 20
	maxEntries = 10_000
	maxDepth   = 8
	maxToken   = 8 << 10
	// maxXMLToken is how many bytes a tag or a text may have. encoding/xml needs some 30 times as
	// much memory for a tag with many attributes.
	maxXMLToken = 64 << 10

	listingNamespace = "http://s3.amazonaws.com/doc/2006-03-01/"
)

// Listing is an answer's content. Whether it answers the request is for the caller to check.
type Listing struct {
	Prefix, Delimiter string
	Truncated         bool
	Token             string // for the next page
	Objects, Folders  []Entry

	keyCount  int   // -1 when it isn't there, as in the first version of S3's listings
	truncated *bool // nil when it isn't there
}

// Entry is an object or, with a delimiter, a folder, which has only a key.
type Entry struct {
	Key     string
	Size    int64
	ModTime time.Time
	ETag    string // as the listing has it, with its quotation marks; empty if it has none
}

// Parse reads a ListBucketResult. It takes nothing else, and takes it only whole. One that was cut
// off is an io.ErrUnexpectedEOF: it may come whole next time.
func Parse(b []byte) (Listing, error) {
	if len(b) > MaxBytes {
		return Listing{}, fmt.Errorf("listing of more than %d bytes", MaxBytes)
	}
	source := &boundedReader{Reader: bytes.NewReader(b)}
	p := parser{decoder: xml.NewDecoder(source), seen: map[string]bool{}}
	p.keyCount = -1
	for {
		source.left = maxXMLToken
		token, err := p.decoder.Token()
		if err != nil {
			return Listing{}, p.syntaxError(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			err = p.start(t)
		case xml.CharData:
			err = p.chars(t)
		case xml.EndElement:
			err = p.end()
		case xml.Directive:
			err = fmt.Errorf("declaration <!%.40q>", t) // listings have none
		}
		if err != nil {
			return Listing{}, err
		}
		if p.closed {
			break
		}
	}
	for {
		source.left = maxXMLToken
		token, err := p.decoder.Token()
		if err == io.EOF {
			return p.checked()
		}
		text, _ := token.(xml.CharData)
		if err != nil || len(bytes.TrimSpace(text)) > 0 || text == nil {
			return Listing{}, errors.New("something follows the listing")
		}
	}
}

// boundedReader bounds the bytes of one XML token: the decoder reads byte by byte, and no more than
// left.
type boundedReader struct {
	*bytes.Reader
	left int
}

func (r *boundedReader) ReadByte() (byte, error) {
	if r.left == 0 {
		return 0, fmt.Errorf("a tag or text of more than %d bytes", maxXMLToken)
	}
	r.left--
	return r.Reader.ReadByte()
}

type parser struct {
	decoder *xml.Decoder
	Listing
	url    bool // keys are escaped as in a URL's query
	closed bool

	path  []string // the open elements
	space string   // the root's namespace
	text  []byte   // of the open element
	seen  map[string]bool
	entry struct{ key, size, modTime, etag *string }
}

// syntaxError explains the XML decoder's error.
func (p *parser) syntaxError(err error) error {
	syntax, ok := errors.AsType[*xml.SyntaxError](err)
	if err == io.EOF || ok && syntax.Msg == "unexpected EOF" {
		return fmt.Errorf("cut off after %d bytes: %w", p.decoder.InputOffset(), io.ErrUnexpectedEOF)
	}
	return err
}

func (p *parser) start(t xml.StartElement) error {
	name := t.Name.Local
	if len(p.path) == 0 {
		if name != "ListBucketResult" {
			return fmt.Errorf("root element <%.40q>", name)
		}
		if t.Name.Space != listingNamespace && t.Name.Space != "" {
			return fmt.Errorf("namespace %.100q", t.Name.Space)
		}
		p.space = t.Name.Space
	} else if t.Name.Space != p.space {
		name = "?" // an extension
	}
	if len(p.path) >= maxDepth {
		return fmt.Errorf("more than %d elements within each other", maxDepth)
	}
	if len(p.path) > 1 && isLeaf(p.path) {
		return fmt.Errorf("element <%.40q> in <%s>", name, p.path[len(p.path)-1])
	}
	p.path = append(p.path, name)
	p.text = p.text[:0]
	if len(p.path) == 2 && (name == "Contents" || name == "CommonPrefixes") {
		if len(p.Objects)+len(p.Folders) == maxEntries {
			return fmt.Errorf("more than %d entries", maxEntries)
		}
		p.entry.key, p.entry.size, p.entry.modTime, p.entry.etag = nil, nil, nil, nil
	}
	return nil
}

// leaves are the elements whose text is read, by their path below the root.
var leaves = map[string]bool{
	"Prefix": true, "Delimiter": true, "KeyCount": true, "IsTruncated": true, "NextContinuationToken": true, "EncodingType": true,
	"Contents/Key": true, "Contents/Size": true, "Contents/LastModified": true, "Contents/ETag": true,
	"CommonPrefixes/Prefix": true,
}

func isLeaf(path []string) bool { return leaves[strings.Join(path[1:], "/")] }

func (p *parser) chars(t xml.CharData) error {
	if len(p.path) > 1 {
		p.text = append(p.text, t...)
	} else if len(bytes.TrimSpace(t)) > 0 {
		return fmt.Errorf("text outside of the elements: %.40q", t)
	}
	return nil
}

func (p *parser) end() error {
	path := strings.Join(p.path[1:], "/")
	text := string(p.text)
	p.path = p.path[:len(p.path)-1]
	p.text = p.text[:0]
	switch path {
	case "":
		p.closed = true
	case "Contents":
		return p.object()
	case "CommonPrefixes":
		if p.entry.key == nil {
			return errors.New("folder without a name")
		}
		p.Folders = append(p.Folders, Entry{Key: *p.entry.key})
	case "Contents/Key", "CommonPrefixes/Prefix":
		return once(&p.entry.key, text, path)
	case "Contents/Size":
		return once(&p.entry.size, text, path)
	case "Contents/LastModified":
		return once(&p.entry.modTime, text, path)
	case "Contents/ETag":
		return once(&p.entry.etag, text, path)
	default:
		if leaves[path] {
			return p.header(path, text)
		}
	}
	return nil
}

// once sets a field, and refuses a second value for it.
func once(field **string, value, path string) error {
	if *field != nil {
		return fmt.Errorf("two elements <%s>", path)
	}
	*field = &value
	return nil
}

func (p *parser) object() error {
	e := p.entry
	if e.key == nil || e.size == nil || e.modTime == nil {
		return errors.New("object without key, size or time")
	}
	size, err := strconv.ParseUint(*e.size, 10, 63)
	if err != nil {
		return fmt.Errorf("size %.40q", *e.size)
	}
	modTime, err := time.Parse(time.RFC3339, *e.modTime)
	if err != nil {
		return fmt.Errorf("time %.40q", *e.modTime)
	}
	object := Entry{Key: *e.key, Size: int64(size), ModTime: modTime}
	if e.etag != nil {
		object.ETag = *e.etag
	}
	p.Objects = append(p.Objects, object)
	return nil
}

// header sets a value that is about the whole listing.
func (p *parser) header(name, text string) error {
	if p.seen[name] {
		return fmt.Errorf("two elements <%s>", name)
	}
	p.seen[name] = true
	switch name {
	case "Prefix":
		p.Prefix = text
	case "Delimiter":
		p.Delimiter = text
	case "NextContinuationToken":
		p.Token = text
	case "KeyCount":
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return fmt.Errorf("key count %.40q", text)
		}
		p.keyCount = int(n)
	case "IsTruncated":
		if text != "true" && text != "false" {
			return fmt.Errorf("is truncated: %.40q", text)
		}
		truncated := text == "true"
		p.truncated = &truncated
	case "EncodingType":
		if text != "url" && text != "" {
			return fmt.Errorf("encoding %.40q", text)
		}
		p.url = text == "url"
	}
	return nil
}

// checked makes the checks that need no knowledge of the request.
func (p *parser) checked() (Listing, error) {
	l := p.Listing
	switch entries := len(l.Objects) + len(l.Folders); {
	case l.keyCount < 0:
		return Listing{}, errors.New("no key count: the answer to another kind of listing")
	case l.truncated == nil:
		return Listing{}, errors.New("it doesn't say whether it is whole")
	case l.keyCount != entries && l.keyCount != len(l.Objects): // S3 counts folders, others don't
		return Listing{}, fmt.Errorf("%d entries, key count %d", entries, l.keyCount)
	case *l.truncated && (l.Token == "" || len(l.Token) > maxToken):
		return Listing{}, fmt.Errorf("more pages, but a token of %d bytes for the next", len(l.Token))
	}
	l.Truncated = *l.truncated
	if err := l.unescape(p.url); err != nil {
		return Listing{}, err
	}
	return l, nil
}

// unescape undoes the escaping of keys and checks that they are UTF-8.
func (l *Listing) unescape(escaped bool) error {
	keys := []*string{&l.Prefix, &l.Delimiter}
	for _, entries := range [][]Entry{l.Objects, l.Folders} {
		for i := range entries {
			keys = append(keys, &entries[i].Key)
		}
	}
	for _, key := range keys {
		if escaped {
			plain, err := url.QueryUnescape(*key)
			if err != nil {
				return fmt.Errorf("key %.100q: %w", *key, err)
			}
			*key = plain
		}
		if !utf8.ValidString(*key) {
			return fmt.Errorf("key %.100q is no text", *key)
		}
	}
	return nil
}
