package api

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/jobs/bundle"
	"github.com/ktaudit/ktaudit/verdict"
)

// proof answers with the batch of an epoch, as a log directory does: at the root, under the name
// that the log gave it.
func (a *api) proof(w http.ResponseWriter, r *http.Request) error {
	epoch, err := epochOf(r)
	if err != nil {
		return err
	}
	previous, digest := r.PathValue("previous"), r.PathValue("digest")
	if verdict.CheckDigest(previous) != nil || verdict.CheckDigest(digest) != nil {
		return notFound("there is nothing at this path")
	}
	for _, n := range a.proven(r.Host) {
		batch, err := n.Proofs(r.Context(), epoch, previous, digest)
		if errors.Is(err, auditstore.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		defer batch.Close()
		return sendStream(w, r, "application/octet-stream", forEver, batch)
	}
	return notFound("there is no batch of that name here")
}

// proven are the namespaces whose proofs are served under a host name: the one that has it, or else
// those that have none, among which the name of a batch is unique, for it has two digests.
func (a *api) proven(host string) []Namespace {
	host = hostName(host)
	var own, others []Namespace
	for _, n := range a.c.Namespaces() {
		switch {
		case n.Proofs == nil:
		case n.Host == "":
			others = append(others, n)
		case strings.EqualFold(hostName(n.Host), host):
			own = append(own, n)
		}
	}
	if len(own) > 0 {
		return own
	}
	return others
}

// evidence answers with the bundle of what is on record against an epoch.
func (a *api) evidence(w http.ResponseWriter, r *http.Request) error {
	n, err := a.namespace(r)
	if err != nil {
		return err
	}
	epoch, err := epochOf(r)
	if err != nil {
		return err
	}
	to := &stream{w: w, r: r, contentType: "application/zstd", cache: notAtAll,
		disposition: fmt.Sprintf(`attachment; filename="%s-%d.tar.zst"`, n.Name, epoch)}
	// Nothing is written before all is found.
	_, err = bundle.Write(r.Context(), to, a.c.Store, bundle.About{
		Namespace: n.Name, Epoch: epoch, Configuration: n.Configuration, VerifyingKeys: n.VerifyingKeys, Software: a.c.Software,
	})
	switch {
	case errors.Is(err, bundle.ErrNothing):
		return notFound("nothing on record is wrong with epoch %d", epoch)
	case errors.Is(err, errHeaderOnly):
		return nil
	}
	return err
}

// What is streamed must be taken at minRate at least, but for a grace.
const (
	minRate = 64 << 10
	grace   = 30 * time.Second
)

// errHeaderOnly ends what is written to answer a HEAD.
var errHeaderOnly = errors.New("only the header is asked for")

// errGone: the client has gone, or takes too long.
var errGone = errors.New("the client does not take the answer")

// stream is a body that may be large. Its header is sent with its first bytes.
type stream struct {
	w                               http.ResponseWriter
	r                               *http.Request
	contentType, cache, disposition string

	began time.Time
	bytes int64
}

func (s *stream) Write(p []byte) (int, error) {
	if s.began.IsZero() {
		s.begin()
	}
	if s.r.Method == http.MethodHead {
		return 0, errHeaderOnly
	}
	s.bytes += int64(len(p))
	deadline := s.began.Add(grace + time.Duration(s.bytes/minRate)*time.Second)
	_ = http.NewResponseController(s.w).SetWriteDeadline(deadline) // not there in some tests
	n, err := s.w.Write(p)
	if err != nil {
		return n, errGone
	}
	return n, nil
}

func (s *stream) begin() {
	s.began = time.Now()
	h := s.w.Header()
	h.Set("Content-Type", s.contentType)
	h.Set("Cache-Control", s.cache)
	if s.disposition != "" {
		h.Set("Content-Disposition", s.disposition)
	}
	s.w.WriteHeader(http.StatusOK)
}

// sendStream sends all of a reader, which must have a first byte or end well before anything is
// answered.
func sendStream(w http.ResponseWriter, r *http.Request, contentType, cache string, from io.Reader) error {
	buffer := make([]byte, 64<<10)
	n, err := io.ReadAtLeast(from, buffer, 1)
	if err != nil && err != io.EOF {
		return err
	}
	s := &stream{w: w, r: r, contentType: contentType, cache: cache}
	if _, err := s.Write(buffer[:n]); err != nil {
		return finished(err)
	}
	_, err = io.CopyBuffer(s, onlyReader{from}, buffer)
	return finished(err)
}

// onlyReader hides what else a reader is, so that all goes through the buffer.
type onlyReader struct{ io.Reader }

func finished(err error) error {
	if errors.Is(err, errHeaderOnly) {
		return nil
	}
	return err
}

func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}
