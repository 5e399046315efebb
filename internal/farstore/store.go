// Package farstore is a store that is far away, for measurements: an S3 server on this machine that
// serves a folder over a line with latency, and with limits for each connection and for all
// together.
//
// It promises that no more than that comes over the line, and counts what does. It does not imitate
// what a real line adds to that, such as TCP's slow start, loss and TLS.
package farstore

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ktaudit/ktaudit/internal/wait"
)

const bucket = "far"

// Store serves a folder. Several goroutines may use it at once.
type Store struct {
	root     *os.Root
	latency  time.Duration
	server   *http.Server
	address  string
	requests atomic.Int64 // for objects
	sent     atomic.Int64
	now      atomic.Int64 // requests for objects being answered
	most     atomic.Int64
}

// Serve starts to serve a folder on a port of this machine. Close must follow.
func Serve(ctx context.Context, folder string, line Line) (*Store, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	s := &Store{root: root, latency: line.Latency, address: l.Addr().String()}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.server.Serve(listen(l, line)) }() // until Close
	return s, nil
}

// BucketURL is for package blobstore. It takes no credentials.
func (s *Store) BucketURL() string {
	return "s3://" + bucket + "?anonymous=true&region=far&use_path_style=true&endpoint=http://" + s.address
}

// Sent is how many bytes of objects have been sent.
func (s *Store) Sent() int64 { return s.sent.Load() }

// Requests is how many requests for objects have come, and how many there were at once at most.
func (s *Store) Requests() (all, atOnce int64) { return s.requests.Load(), s.most.Load() }

// Close ends all connections.
func (s *Store) Close() error { return errors.Join(s.server.Close(), s.root.Close()) }

// ServeHTTP answers ListObjectsV2, on one page, and GetObject.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if wait.For(r.Context(), s.latency) != nil {
		return
	}
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case r.Method != http.MethodGet || name != bucket:
		http.Error(w, "not implemented", http.StatusNotImplemented)
	case key == "":
		s.list(w, r)
	default:
		s.object(w, r, key)
	}
}

func (s *Store) object(w http.ResponseWriter, r *http.Request, key string) {
	f, err := s.root.Open(key)
	if err != nil {
		http.Error(w, "no such key", http.StatusNotFound)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		http.Error(w, "no such key", http.StatusNotFound)
		return
	}
	s.requests.Add(1)
	now := s.now.Add(1)
	defer s.now.Add(-1)
	for most := s.most.Load(); now > most && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
	}
	w.Header().Set("ETag", etag(info))
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(&counted{w, &s.sent}, r, "", info.ModTime(), f)
}

func etag(info fs.FileInfo) string {
	return fmt.Sprintf(`"%x-%x"`, info.Size(), info.ModTime().UnixNano())
}

// counted counts what is sent of a body.
type counted struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// listing is S3's answer.
type listing struct {
	XMLName     xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name        string
	Prefix      string
	KeyCount    int
	MaxKeys     int
	IsTruncated bool
	Contents    []content
}

type content struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
}

// list lists the objects with a prefix that ends a folder's name, or with none.
func (s *Store) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	most := 1000
	if n, err := strconv.Atoi(q.Get("max-keys")); err == nil {
		most = n
	}
	answer := listing{Name: bucket, Prefix: q.Get("prefix"), MaxKeys: most}
	folder := path.Clean(answer.Prefix)
	err := fs.WalkDir(s.root.FS(), folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if answer.KeyCount == most {
			answer.IsTruncated = true
			return fs.SkipAll
		}
		info, err := d.Info()
		answer.KeyCount++
		answer.Contents = append(answer.Contents, content{
			Key: name, LastModified: info.ModTime().UTC().Format("2006-01-02T15:04:05.000Z"), ETag: etag(info), Size: info.Size(),
		})
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(answer) // the client is told by a broken answer
}
