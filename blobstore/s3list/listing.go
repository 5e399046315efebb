package s3list

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
	// maxListing holds 1,000 keys of the greatest length S3 allows, each byte escaped, twice over.
	maxListing = 8 << 20
	maxEntries = 10_000
	maxDepth   = 8
	maxToken   = 8 << 10
	// maxXMLToken is how many bytes a tag or a text may have. encoding/xml needs some 30 times as
	// much memory for a tag with many attributes.
	maxXMLToken = 64 << 10

	listingNamespace = "http://s3.amazonaws.com/doc/2006-03-01/"
)

// listing is an answer's content, not yet checked against the request; see entriesFor.
type listing struct {
	prefix, delimiter string
	keyCount          int // -1 when it isn't there, as in the first version of S3's listings
	truncated         *bool
	token             string // for the next page
	objects, folders  []entry
}

// entry is an object or, with a delimiter, a folder, which has only a key.
type entry struct {
	key     string
	size    int64
	modTime time.Time
	etag    ETag
}

// parseListing reads a ListBucketResult. It takes nothing else, and takes it only whole.
func parseListing(b []byte) (listing, error) {
	source := &boundedReader{Reader: bytes.NewReader(b)}
	p := listingParser{decoder: xml.NewDecoder(source), seen: map[string]bool{}}
	p.keyCount = -1
	for {
		source.left = maxXMLToken
		token, err := p.decoder.Token()
		if err != nil {
			return listing{}, p.syntaxError(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			err = p.start(t)
		case xml.CharData:
			err = p.chars(t)
		case xml.EndElement:
			err = p.end()
		case xml.Directive:
			err = malformed("declaration <!%.40q>", t) // listings have none
		}
		if err != nil {
			return listing{}, err
		}
		if p.closed {
			break
		}
	}
	for {
		source.left = maxXMLToken
		token, err := p.decoder.Token()
		if err == io.EOF {
			return p.listing, p.check()
		}
		text, _ := token.(xml.CharData)
		if err != nil || len(bytes.TrimSpace(text)) > 0 || text == nil {
			return listing{}, malformed("something follows the listing")
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

type listingParser struct {
	decoder *xml.Decoder
	listing
	url    bool // keys are escaped as in a URL's query
	closed bool

	path  []string // the open elements
	space string   // the root's namespace
	text  []byte   // of the open element
	seen  map[string]bool
	entry struct{ key, size, modTime, etag *string }
}

// syntaxError explains the XML decoder's error. A truncated listing may come whole next time.
func (p *listingParser) syntaxError(err error) error {
	syntax, ok := errors.AsType[*xml.SyntaxError](err)
	if err == io.EOF || ok && syntax.Msg == "unexpected EOF" {
		return broken(fmt.Errorf("%w: cut off after %d bytes: %w", ErrMalformed, p.decoder.InputOffset(), io.ErrUnexpectedEOF))
	}
	return malformed("%w", err)
}

func (p *listingParser) start(t xml.StartElement) error {
	name := t.Name.Local
	if len(p.path) == 0 {
		if name != "ListBucketResult" {
			return malformed("root element <%.40q>", name)
		}
		if t.Name.Space != listingNamespace && t.Name.Space != "" {
			return malformed("namespace %.100q", t.Name.Space)
		}
		p.space = t.Name.Space
	} else if t.Name.Space != p.space {
		name = "?" // an extension
	}
	if len(p.path) >= maxDepth {
		return malformed("more than %d elements within each other", maxDepth)
	}
	if len(p.path) > 1 && isLeaf(p.path) {
		return malformed("element <%.40q> in <%s>", name, p.path[len(p.path)-1])
	}
	p.path = append(p.path, name)
	p.text = p.text[:0]
	if len(p.path) == 2 && (name == "Contents" || name == "CommonPrefixes") {
		if len(p.objects)+len(p.folders) == maxEntries {
			return malformed("more than %d entries", maxEntries)
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

func (p *listingParser) chars(t xml.CharData) error {
	if len(p.path) > 1 {
		p.text = append(p.text, t...)
	} else if len(bytes.TrimSpace(t)) > 0 {
		return malformed("text outside of the elements: %.40q", t)
	}
	return nil
}

func (p *listingParser) end() error {
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
			return malformed("folder without a name")
		}
		p.folders = append(p.folders, entry{key: *p.entry.key})
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
		return malformed("two elements <%s>", path)
	}
	*field = &value
	return nil
}

func (p *listingParser) object() error {
	e := p.entry
	if e.key == nil || e.size == nil || e.modTime == nil {
		return malformed("object without key, size or time")
	}
	size, err := number(*e.size)
	if err != nil {
		return malformed("size %.40q", *e.size)
	}
	modTime, err := time.Parse(time.RFC3339, *e.modTime)
	if err != nil {
		return malformed("time %.40q", *e.modTime)
	}
	object := entry{key: *e.key, size: size, modTime: modTime}
	if e.etag != nil {
		object.etag = plainETag(*e.etag)
	}
	p.objects = append(p.objects, object)
	return nil
}

// header sets a value that is about the whole listing.
func (p *listingParser) header(name, text string) error {
	if p.seen[name] {
		return malformed("two elements <%s>", name)
	}
	p.seen[name] = true
	switch name {
	case "Prefix":
		p.prefix = text
	case "Delimiter":
		p.delimiter = text
	case "NextContinuationToken":
		p.token = text
	case "KeyCount":
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return malformed("key count %.40q", text)
		}
		p.keyCount = int(n)
	case "IsTruncated":
		if text != "true" && text != "false" {
			return malformed("is truncated: %.40q", text)
		}
		truncated := text == "true"
		p.truncated = &truncated
	case "EncodingType":
		if text != "url" && text != "" {
			return malformed("encoding %.40q", text)
		}
		p.url = text == "url"
	}
	return nil
}

// check makes the checks that need no knowledge of the request.
func (p *listingParser) check() error {
	l := &p.listing
	switch entries := len(l.objects) + len(l.folders); {
	case l.keyCount < 0:
		return malformed("no key count: the answer to another kind of listing")
	case l.truncated == nil:
		return malformed("it doesn't say whether it is whole")
	case l.keyCount != entries && l.keyCount != len(l.objects): // S3 counts folders, others don't
		return malformed("%d entries, key count %d", entries, l.keyCount)
	case *l.truncated && (l.token == "" || len(l.token) > maxToken):
		return malformed("more pages, but a token of %d bytes for the next", len(l.token))
	}
	return l.unescape(p.url)
}

// unescape undoes the escaping of keys and checks that they are UTF-8.
func (l *listing) unescape(escaped bool) error {
	keys := []*string{&l.prefix, &l.delimiter}
	for _, entries := range [][]entry{l.objects, l.folders} {
		for i := range entries {
			keys = append(keys, &entries[i].key)
		}
	}
	for _, key := range keys {
		if escaped {
			plain, err := url.QueryUnescape(*key)
			if err != nil {
				return malformed("key %.100q: %w", *key, err)
			}
			*key = plain
		}
		if !utf8.ValidString(*key) {
			return malformed("key %.100q is no text", *key)
		}
	}
	return nil
}
