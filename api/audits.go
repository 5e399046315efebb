package api

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/verdict"
)

// audit answers with an epoch's signed digest, as it was given.
func (a *api) audit(w http.ResponseWriter, r *http.Request) error {
	n, epoch, err := a.namespaceAndEpoch(r)
	if err != nil {
		return err
	}
	if n.Auditor == nil {
		return notFound("nothing is signed here")
	}
	data, err := n.Auditor.Signed(r.Context(), epoch)
	if errors.Is(err, auditor.ErrNotSigned) {
		return notFound("epoch %d is not signed", epoch)
	}
	if err != nil {
		return err
	}
	return a.send(w, r, data, sent{"application/json", forEver})
}

// namespaceAndEpoch returns what a request's path names.
func (a *api) namespaceAndEpoch(r *http.Request) (Namespace, uint64, error) {
	n, err := a.namespace(r)
	if err != nil {
		return n, 0, err
	}
	epoch, err := epochOf(r)
	return n, epoch, err
}

// epochOf is the epoch in a request's path, in plain decimal digits.
func epochOf(r *http.Request) (uint64, error) {
	text := r.PathValue("epoch")
	epoch, err := strconv.ParseUint(text, 10, 64)
	if err != nil || epoch > verdict.MaxEpoch || strconv.FormatUint(epoch, 10) != text {
		return 0, notFound("there is no such epoch")
	}
	return epoch, nil
}

// retryUnverified is when a log may post again what is not verified yet.
const retryUnverified = 30 * time.Second

// maxPost is how large the body of a post may be, maxReport that of a report.
const maxPost, maxReport = 4 << 10, 16 << 10

// postAudit signs the digest that a log posts.
func (a *api) postAudit(w http.ResponseWriter, r *http.Request) error {
	n, err := a.namespace(r)
	if err != nil {
		return err
	}
	who, body, err := a.admitPost(w, r, n, maxPost)
	if err != nil {
		return err
	}
	post, err := parsePost(body)
	if err != nil {
		return err
	}
	leave, err := a.enterPost(n.Name)
	if err != nil {
		return err
	}
	defer leave()
	// Not ended by the client: a log must not keep a conflict off the record by hanging up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), postTimeout)
	defer cancel()
	ctx = auditor.WithPoster(ctx, who)
	signed, err := n.Auditor.Sign(ctx, post.epoch, post.digest)
	if _, ok := errors.AsType[*auditor.ReusedError](err); ok {
		a.reused.note(r, err) // no honest log does so, and nothing is on record of it
	}
	if err != nil {
		return a.refusal(ctx, n, post.epoch, err)
	}
	a.c.Signed(n.Name, post.epoch)
	return sendChanged(w, signed, http.StatusOK)
}

// admitPost checks that a request may write to a namespace, and reads its body. Who sent it is for
// the record of a conflict.
func (a *api) admitPost(w http.ResponseWriter, r *http.Request, n Namespace, limit int64) (who string, body []byte, err error) {
	if who, err = n.Posters.admit(r); err != nil {
		return "", nil, err
	}
	switch {
	case n.Disabled:
		return "", nil, &problem{kind: kindDisabled, detail: "this namespace is disabled", hangUp: true}
	case n.Auditor == nil:
		return "", nil, &problem{kind: kindNotSigned, detail: "this auditor does not sign this log's digests", hangUp: true}
	}
	if err := a.rates.take(n.Name); err != nil {
		return "", nil, err
	}
	body, err = readBody(w, r, limit)
	return who, body, err
}

// post is what a log posts.
type post struct {
	epoch  uint64
	digest [32]byte
}

func parsePost(body []byte) (post, error) {
	var p client.Post
	if err := parse(body, &p, "epoch", "digest"); err != nil {
		return post{}, err
	}
	if p.Epoch > verdict.MaxEpoch {
		return post{}, malformed("epoch %d is over %d", p.Epoch, uint64(verdict.MaxEpoch))
	}
	digest, err := parseDigest(p.Digest)
	return post{p.Epoch, digest}, err
}

func parseDigest(text string) (digest [32]byte, err error) {
	if len(text) != hex.EncodedLen(len(digest)) {
		return digest, malformed("the digest has %d characters, want 64 hexadecimal digits", len(text))
	}
	if _, err := hex.Decode(digest[:], []byte(text)); err != nil {
		return digest, malformed("the digest is not 64 hexadecimal digits")
	}
	return digest, nil
}

// refusal is what a log is told of an error of Sign.
func (a *api) refusal(ctx context.Context, n Namespace, epoch uint64, err error) error {
	if errors.Is(err, auditor.ErrNotVerified) {
		return &problem{kind: kindNotVerified, detail: "the epoch is not verified with this digest, or not yet", retryAfter: retryUnverified}
	}
	p, ok := errors.AsType[*problem](signingProblem(err))
	if !ok {
		return err
	}
	if p.kind == kindConflict {
		if p.Signed, err = n.Auditor.Signed(ctx, epoch); err != nil {
			return err
		}
	}
	return p
}

// roots remembers where signing of namespaces began, which never changes.
type roots struct{ of sync.Map }

// root is where signing of a namespace begins, or began; zero if that is not known yet.
func (a *api) root(ctx context.Context, n Namespace) (verdict.Anchor, error) {
	if !n.Root.IsZero() || n.Auditor == nil {
		return n.Root, nil
	}
	if known, ok := a.roots.of.Load(n.Name); ok {
		return known.(verdict.Anchor), nil
	}
	root, ok, err := n.Auditor.Start(ctx)
	if err == nil && ok {
		a.roots.of.Store(n.Name, root)
	}
	return root, err
}
