package api

import (
	"context"
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
	ctx, to := newStream(w, r, "application/octet-stream", forEver)
	defer to.close()
	var faults []error // of logs whose batch it may be
	for _, n := range a.proven(r.Host) {
		batch, err := n.Proofs(ctx, epoch, previous, digest)
		if errors.Is(err, auditstore.ErrNotFound) {
			continue
		}
		if err != nil {
			faults = append(faults, err)
			continue
		}
		defer batch.Close()
		if err := to.copyFrom(batch); !errors.Is(err, errHeaderOnly) {
			return err
		}
		return nil
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
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
	n, epoch, err := a.namespaceAndEpoch(r)
	if err != nil {
		return err
	}
	ctx, to := newStream(w, r, "application/zstd", notAtAll)
	defer to.close()
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s-%d.tar.zst"`, n.Name, epoch))
	// Nothing is written before all is found.
	_, err = bundle.Write(ctx, to, a.c.Store, bundle.About{
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

const (
	// What is streamed must be taken at minRate at least, but for a grace.
	minRate = 256 << 10
	grace   = 30 * time.Second
	// gatherTimeout is how long it may take until there is something to send, stallTimeout until
	// there is more.
	gatherTimeout = 5 * time.Minute
	stallTimeout  = time.Minute
)

var (
	// errHeaderOnly ends what is written to answer a HEAD.
	errHeaderOnly = errors.New("only the header is asked for")
	// errGone: the client has gone, or takes too long.
	errGone = errors.New("the client does not take the answer")
)

// stream is a body that may be large. Its header is sent with its first bytes.
type stream struct {
	w                  http.ResponseWriter
	head               bool
	contentType, cache string

	connection *http.ResponseController
	stalled    *time.Timer
	began      time.Time
	bytes      int64
}

// newStream returns a context that ends once nothing was written for too long. The caller closes
// the stream.
func newStream(w http.ResponseWriter, r *http.Request, contentType, cache string) (context.Context, *stream) {
	ctx, cancel := context.WithCancel(r.Context())
	s := &stream{w: w, head: r.Method == http.MethodHead, contentType: contentType, cache: cache, connection: http.NewResponseController(w)}
	s.stalled = time.AfterFunc(gatherTimeout, cancel)
	return ctx, s
}

func (s *stream) close() {
	s.stalled.Stop()
	if !s.began.IsZero() {
		_ = s.connection.SetWriteDeadline(time.Time{}) // the next request has its own
	}
}

func (s *stream) Write(p []byte) (int, error) {
	if s.began.IsZero() {
		s.began = time.Now()
		s.w.Header().Set("Content-Type", s.contentType)
		s.w.Header().Set("Cache-Control", s.cache)
		s.w.WriteHeader(http.StatusOK)
	}
	if s.head {
		return 0, errHeaderOnly
	}
	s.stalled.Reset(stallTimeout)
	s.bytes += int64(len(p))
	// Deadlines are not there in some tests.
	_ = s.connection.SetWriteDeadline(s.began.Add(grace + time.Duration(s.bytes/minRate)*time.Second))
	n, err := s.w.Write(p)
	if err != nil {
		return n, errGone
	}
	return n, nil
}

// copyFrom sends all of a reader. Nothing is answered before it has given a first byte, or has
// ended well.
func (s *stream) copyFrom(from io.Reader) error {
	buffer := make([]byte, 64<<10)
	n, err := io.ReadAtLeast(from, buffer, 1)
	if err != nil && err != io.EOF {
		return err
	}
	if _, err = s.Write(buffer[:n]); err == nil {
		_, err = io.CopyBuffer(s, onlyReader{from}, buffer)
	}
	return err
}

// onlyReader hides what else a reader is, so that all goes through the buffer.
type onlyReader struct{ io.Reader }

func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}
