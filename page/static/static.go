package static

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // buckets list it of what they hold
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ktaudit/ktaudit/page"
	"github.com/ktaudit/ktaudit/page/documents"
	"gocloud.dev/blob"
	"golang.org/x/sync/errgroup"
)

// Publisher writes a page to a bucket, again and again. It remembers what it wrote.
type Publisher struct {
	// Page is for this alone: it is not to be served.
	Page   *page.Page
	Bucket *blob.Bucket
	// Epochs is for how many of the newest epochs of each log there is a page, beside those that
	// something is to be said of.
	Epochs int
	// Progress is called with how many documents are done, of how many. It may be nil.
	Progress func(done, total uint64)

	mu     sync.Mutex
	there  map[string]string // the MD5 of what is in the bucket, by key; empty: not known
	epochs map[string]string // what epochs were like when they were written, by folder
}

// Result is what became of a round.
type Result struct {
	Files     int   `json:"files"` // that make up the page
	Written   int   `json:"written"`
	Bytes     int64 `json:"bytes"`     // written
	Unchanged int   `json:"unchanged"` // in the bucket already
}

// writeAhead is how many documents are made and written at once.
const writeAhead = 16

// Publish reads what is on record and writes what changed. Pages of logs and epochs that are no
// longer published stay as they are. After an error the next round writes the rest.
//
// Files are written in an order in which no page leads to one that is not there yet: epochs before
// ranges, these before logs, and the overview last.
func (p *Publisher) Publish(ctx context.Context) (Result, error) {
	if err := p.Page.ReadAll(ctx); err != nil {
		return Result{}, err
	}
	if p.there == nil {
		there, err := list(ctx, p.Bucket)
		if err != nil {
			return Result{}, err
		}
		p.there, p.epochs = there, map[string]string{}
	}
	site := p.plan()
	if err := p.Page.Link(site.has); err != nil {
		return Result{}, err
	}
	var r Result
	var done atomic.Uint64
	total := uint64(0)
	for _, paths := range site.stages {
		total += uint64(len(paths))
	}
	for _, paths := range site.stages {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(writeAhead)
		for _, path := range paths {
			group.Go(func() error {
				err := p.write(ctx, site, path, &r)
				if p.Progress != nil {
					p.Progress(done.Add(1), total)
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return r, err
		}
	}
	p.mu.Lock()
	maps.Copy(p.epochs, site.epochs)
	p.mu.Unlock()
	return r, nil
}

// write writes a document, if it is not in the bucket already.
func (p *Publisher) write(ctx context.Context, site *site, path string, r *Result) error {
	folder, isEpoch := site.folders[path]
	if isEpoch && p.epochs[folder] == site.epochs[folder] {
		p.count(r, func() { r.Files++; r.Unchanged++ })
		return nil // it cost reading to make it anew
	}
	d, err := p.Page.Document(ctx, path)
	if isEpoch && errors.Is(err, page.ErrNoDocument) {
		return nil // not every epoch has a proof, say
	}
	if err != nil {
		return fmt.Errorf("page %s: %w", path, err)
	}
	key := keyOf(path)
	sum := md5.Sum(d.Body) //nolint:gosec // against what the bucket lists
	same, err := p.isThere(ctx, key, string(sum[:]), d.Body)
	if err != nil {
		return err
	}
	if same {
		p.count(r, func() { r.Files++; r.Unchanged++ })
		return nil
	}
	// A crash here leaves the file as it was, or as it is to be.
	err = p.Bucket.WriteAll(ctx, key, d.Body, &blob.WriterOptions{ContentType: d.ContentType, CacheControl: cacheOf(d)})
	if err != nil {
		return fmt.Errorf("writing %s: %w", key, err)
	}
	p.mu.Lock()
	p.there[key] = string(sum[:])
	p.mu.Unlock()
	p.count(r, func() { r.Files++; r.Written++; r.Bytes += int64(len(d.Body)) })
	return nil
}

func (p *Publisher) count(_ *Result, add func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	add()
}

// isThere reports whether the bucket has these bytes. Of what it lists without a hash it is read.
func (p *Publisher) isThere(ctx context.Context, key, sum string, data []byte) (bool, error) {
	p.mu.Lock()
	known, ok := p.there[key]
	p.mu.Unlock()
	if !ok || known != "" {
		return ok && known == sum, nil
	}
	r, err := p.Bucket.NewReader(ctx, key, nil)
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", key, err)
	}
	defer r.Close()
	on, err := io.ReadAll(io.LimitReader(r, int64(len(data))+1))
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", key, err)
	}
	same := bytes.Equal(on, data)
	if same {
		p.mu.Lock()
		p.there[key] = sum
		p.mu.Unlock()
	}
	return same, nil
}

// list returns the MD5 of what is in a bucket, as far as it says.
func list(ctx context.Context, b *blob.Bucket) (map[string]string, error) {
	there := map[string]string{}
	for objects := b.List(nil); ; {
		o, err := objects.Next(ctx)
		if err == io.EOF {
			return there, nil
		}
		if err != nil {
			return nil, fmt.Errorf("listing what is published: %w", err)
		}
		there[o.Key] = string(o.MD5)
	}
}

// keyOf is where a path lies: a folder's page is index.html.
func keyOf(path string) string {
	if path == "" || strings.HasSuffix(path, "/") {
		return path + "index.html"
	}
	return path
}

// cacheOf is how long a file may be kept: what changes, for a minute.
func cacheOf(d *documents.Document) string {
	if d.Cache == documents.ForEver {
		return d.Cache
	}
	return "public, max-age=60"
}

// site is which documents there are to be.
type site struct {
	stages  [][]string // epochs, ranges, assets and logs, and the overview
	paths   map[string]bool
	folders map[string]string // of the documents of epochs
	epochs  map[string]string // what epochs are like, by folder
}

func (s *site) has(path string) bool { return s.paths[path] }

// plan says which documents there are to be, by what was read.
func (p *Publisher) plan() *site {
	s := &site{paths: map[string]bool{}, folders: map[string]string{}, epochs: map[string]string{}}
	var epochs, ranges, fixed []string
	for _, log := range p.Page.Summaries() {
		wanted := log.Noteworthy(p.Epochs)
		for _, epoch := range wanted {
			folder := page.EpochPath(log.Log.Name, epoch)
			s.epochs[folder] = log.Fingerprint(epoch)
			for _, name := range page.EpochDocuments {
				s.folders[folder+name] = folder
				epochs = append(epochs, folder+name)
			}
		}
		for _, r := range log.Windows(wanted) {
			ranges = append(ranges, page.RangePath(log.Log.Name, r.From, r.To))
		}
	}
	var last []string
	for _, path := range p.Page.Paths() {
		if path == "" || path == "overview.json" {
			last = append(last, path)
		} else {
			fixed = append(fixed, path)
		}
	}
	s.stages = [][]string{epochs, ranges, fixed, last}
	for path := range slices.Values(slices.Concat(s.stages...)) {
		s.paths[path] = true
	}
	return s
}
