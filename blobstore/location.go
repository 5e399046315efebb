package blobstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ktaudit/ktaudit/blobstore/s3list"
	"github.com/ktaudit/ktaudit/internal/spelling"
	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/internal/tlsfiles"
	"gocloud.dev/blob"
)

// scheme is a kind of bucket that a URL can name.
type scheme struct {
	parameters []string // besides prefix, which all have
	open       func(context.Context, *url.URL, *http.Transport) (*blob.Bucket, error)
	example    string
	ranges     int // parts of an object to fetch at once, unless the URL says how many
}

var schemes = map[string]scheme{
	"azblob": {withTLS("cdn", "domain", "localemu", "protocol", "ranges", "storage_account"), openAzure, "azblob://CONTAINER", manyRanges},
	"file":   {[]string{"create_dir"}, nil, "file:///FOLDER or a plain path", 1},
	"gs":     {withTLS("access_id", "anonymous", "grpc", "private_key_path", "ranges", "universe_domain", "zonal"), openGoogle, "gs://BUCKET", manyRanges},
	"mem":    {[]string{"nomd5"}, openMemory, "mem://", 1},
	"s3": {withTLS("accelerate", "anonymous", "disable_https", "dualstack", "endpoint", "fips", "hostname_immutable", "kmskeyid",
		"profile", "ranges", "rate_limiter_capacity", "region", "request_checksum_calculation", "response_checksum_validation", "role",
		"s3ForcePathStyle", "ssetype", "use_path_style"), openS3, "s3://BUCKET", manyRanges},
	// Public logs are somebody else's: one request for a proof, unless their URL says otherwise.
	s3list.SchemeHTTP:  {append(s3list.Parameters(), "ranges"), openPublicLog, s3list.SchemeHTTP + "://HOST:PORT", 1},
	s3list.SchemeHTTPS: {append(s3list.Parameters(), "ranges"), openPublicLog, s3list.SchemeHTTPS + "://HOST", 1},
}

const (
	// manyRanges is for services that are made for many connections. Three epochs at once keep a
	// line of 1 Gbit/s busy with so many each if a connection gives 20 MB/s with 50 ms of latency.
	manyRanges = 6
	maxRanges  = 16
)

// otherNames are schemes that other programs use for the same services.
var otherNames = map[string]string{
	"azure": "azblob", "az": "azblob", "abfs": "azblob", "wasb": "azblob", "blob": "azblob",
	"gcs": "gs", "google": "gs", "s3a": "s3", "s3n": "s3", "minio": "s3", "aws": "s3", "memory": "mem", "local": "file",
	"http": s3list.SchemeHTTP, "https": s3list.SchemeHTTPS,
}

// location is a bucket URL that has been understood.
type location struct {
	shown     string // as it was given, for messages: see show
	scheme    string
	url       *url.URL // without the parameters below; nil for a folder
	folder    string   // of local disk
	createDir bool     // make the folder
	prefix    string   // of all keys; empty or ending in "/"
	ranges    int      // parts of an object to fetch at once
	tls       tlsfiles.Files
}

// parse understands a bucket URL or a plain path. Its errors don't repeat the URL when it may hold
// a password.
func parse(raw string) (location, error) {
	if raw == "" {
		return location{}, errors.New("bucket URL is empty: want one of " + examples())
	}
	name, rest, isURL := strings.Cut(raw, "://")
	if !isURL {
		return parsePath(raw)
	}
	s, ok := schemes[name]
	if !ok {
		return location{}, fmt.Errorf("bucket URL with the unknown scheme %q%s: want one of %s", name, suggestScheme(name), examples())
	}
	u, err := url.Parse(raw)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the URL
		}
		return location{}, fmt.Errorf("%s:// URL: %w", name, err)
	}
	if u.User != nil {
		return location{}, fmt.Errorf("%s:// URL with a user name or password: credentials belong in the environment", name)
	}
	l := location{shown: show(raw, s), scheme: name, url: u}
	if err := l.parameters(s); err != nil {
		return location{}, fmt.Errorf("bucket URL %s: %w", l.shown, err)
	}
	switch {
	case name == "file":
		err = l.filePath(rest)
	case l.readOnly():
		err = s3list.CheckURL(u)
	case name == "mem":
		if u.Host != "" || u.Path != "" {
			err = errors.New("a memory bucket has no name, since it is new and empty each time it is opened: write mem://")
		}
	default:
		err = l.bucketName(s)
	}
	if err != nil {
		return location{}, fmt.Errorf("bucket URL %s: %w", l.shown, err)
	}
	return l, nil
}

func parsePath(path string) (location, error) {
	name, _, _ := strings.Cut(path, ":")
	if s, ok := schemes[name]; ok && name != path {
		return location{}, fmt.Errorf("bucket URL %s: a URL has // after the colon, as in %s", show(path, s), s.example)
	}
	return location{shown: path, scheme: "file", folder: filepath.Clean(path)}, nil
}

// show returns a bucket URL for messages. The value of a parameter that this kind of bucket does
// not have is left out, since it may be a secret that belongs elsewhere, and so is one that is a
// URL with a password.
func show(raw string, s scheme) string {
	before, query, ok := strings.Cut(raw, "?")
	if !ok {
		return text.Clean(raw, maxShown)
	}
	parameters := strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' })
	for i, p := range parameters {
		name, value, _ := strings.Cut(p, "=")
		plain, err := url.QueryUnescape(value)
		known := name == "prefix" || slices.Contains(s.parameters, name)
		if value != "" && (!known || err != nil || strings.Contains(plain, "@") && strings.Contains(plain, "://")) {
			parameters[i] = name + "=" + text.Mark
		}
	}
	return text.Clean(before+"?"+strings.Join(parameters, "&"), maxShown)
}

// maxShown is how many bytes of a URL a message has.
const maxShown = 1000

// parameters checks the names of all and takes out those that ktaudit handles itself.
func (l *location) parameters(s scheme) error {
	q, err := url.ParseQuery(l.url.RawQuery)
	if err != nil {
		return err
	}
	known := append([]string{"prefix"}, s.parameters...)
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if !slices.Contains(known, name) {
			return fmt.Errorf("unknown parameter %.100q%s; %s:// knows %s", name, suggest(name, known), l.scheme, strings.Join(known, ", "))
		}
		if len(q[name]) > 1 {
			return fmt.Errorf("parameter %q is given %d times", name, len(q[name]))
		}
	}
	if l.prefix = q.Get("prefix"); l.prefix != "" {
		folder, ok := strings.CutSuffix(l.prefix, "/")
		if !ok {
			return fmt.Errorf("prefix %q does not end in \"/\": write prefix=%s/", l.prefix, l.prefix)
		}
		for part := range strings.SplitSeq(folder, "/") {
			if part == "" || part == "." || part == ".." {
				return fmt.Errorf("prefix %q is not a plain path such as audits/2026/", l.prefix)
			}
		}
	}
	switch v := q.Get("create_dir"); v {
	case "", "false":
	case "true":
		l.createDir = true
	default:
		return fmt.Errorf("create_dir=%s: want true or false", v)
	}
	l.ranges = s.ranges
	if v := q.Get("ranges"); q.Has("ranges") {
		if l.ranges, err = strconv.Atoi(v); err != nil || l.ranges < 1 || l.ranges > maxRanges {
			return fmt.Errorf("ranges=%.40s: want a number from 1 to %d", v, maxRanges)
		}
	}
	l.tls = tlsfiles.Files{
		CA: q.Get("ca_file"), Certificate: q.Get("certificate"), Key: q.Get("certificate_key"), ServerName: q.Get("server_name"),
	}
	switch {
	case l.tls == (tlsfiles.Files{}):
	case isPlainHTTP(q):
		return errWithoutTLS
	case isTrue(q, "grpc"), isTrue(q, "zonal"):
		return fmt.Errorf("%s have no effect with gRPC", strings.Join(tlsParameters, ", "))
	}
	for _, name := range append([]string{"prefix", "create_dir", "ranges"}, tlsParameters...) {
		q.Del(name)
	}
	l.url.RawQuery = q.Encode()
	return nil
}

// isPlainHTTP reports whether parameters ask for a server without TLS.
func isPlainHTTP(q url.Values) bool {
	scheme, _, _ := strings.Cut(q.Get("endpoint"), "://")
	return strings.EqualFold(scheme, "http") || isTrue(q, "disable_https") || q.Get("protocol") == "http"
}

// isTrue reads a parameter as gocloud does.
func isTrue(q url.Values, name string) bool {
	is, err := strconv.ParseBool(q.Get(name))
	return err == nil && is
}

func (l *location) filePath(rest string) error {
	switch l.url.Host {
	case "", "localhost":
		l.folder = l.url.Path
	case ".":
		l.folder = "." + l.url.Path
	default:
		path, _, _ := strings.Cut(rest, "?")
		return fmt.Errorf("%q stands where a host would: write file:///%s for an absolute path, file://./%s or just %s for a relative one",
			l.url.Host, path, path, path)
	}
	if l.folder == "" {
		return errors.New("it names no folder")
	}
	l.folder = filepath.Clean(filepath.FromSlash(l.folder))
	return nil
}

func (l *location) bucketName(s scheme) error {
	path := strings.Trim(l.url.Path, "/")
	switch {
	case l.url.Host == "":
		return fmt.Errorf("it names no bucket: write %s", s.example)
	case l.url.Port() != "":
		return fmt.Errorf("%q stands where the bucket's name does; a server's address goes into a parameter, "+
			"as in s3://BUCKET?endpoint=http://%s&use_path_style=true", l.url.Host, l.url.Host)
	case path != "":
		return fmt.Errorf("a folder within the bucket goes into a parameter: write %s://%s?prefix=%s/", l.scheme, l.url.Host, path)
	}
	return nil
}

func (l *location) createURL() string {
	path := (&url.URL{Path: filepath.ToSlash(l.folder)}).EscapedPath()
	if !filepath.IsAbs(l.folder) {
		path = "./" + path
	}
	return "file://" + path + "?create_dir=true"
}

func examples() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(schemes)) {
		all = append(all, schemes[name].example)
	}
	return strings.Join(all, ", ")
}

func suggestScheme(name string) string {
	if other, ok := otherNames[strings.ToLower(name)]; ok {
		return fmt.Sprintf(" (did you mean %s://?)", other)
	}
	return suggest(name, slices.Sorted(maps.Keys(schemes)))
}

// suggest names the known word that a misspelled one is closest to, if it is close at all.
func suggest(word string, known []string) string {
	if meant := spelling.Closest(word, known); meant != "" {
		return fmt.Sprintf(" (did you mean %q?)", meant)
	}
	return ""
}
