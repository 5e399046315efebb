package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/ktaudit/ktaudit/internal/patience"
)

// Proof is the stored bytes of a log's proof, as they come. What they mean, and how many of them to
// take, is left to whoever reads them. The caller must close it.
type Proof struct {
	Size int64 // -1 if the server does not say

	caller, ctx context.Context
	client      *Client
	body        io.ReadCloser
	patience    *patience.Patience
}

// Proof opens the proof of an epoch, that the log's tree grew from the digest previous to digest,
// at the origin of a log directory: a path in its URL is dropped, as the client plexi does. It is
// ErrNotFound, wrapped, if it is not there. A body that breaks off is not resumed.
func (c *Client) Proof(ctx context.Context, logDirectory string, epoch uint64, previous, digest string) (*Proof, error) {
	// What an auditor says must not lead from https to plain http.
	base, err := origin(logDirectory, c.config.AllowHTTP)
	if err == nil && base.Scheme == "http" && c.base.Scheme == "https" {
		err = errors.New("want https, as the auditor's own URL has")
	}
	if err != nil {
		return nil, fmt.Errorf("log directory %.200q: %w", logDirectory, err)
	}
	for _, part := range []string{previous, digest} {
		if err := checkDigest(part); err != nil {
			return nil, err
		}
	}
	at := base.Scheme + "://" + base.Host + "/" + strings.ToLower(strconv.FormatUint(epoch, 10)+"/"+previous+"/"+digest)
	p := &Proof{caller: ctx, client: c}
	p.ctx, p.patience = patience.New(ctx, patience.Limits{Grace: grace, MinRate: minRate})
	p.patience.Start()
	response, err := c.send(p.ctx, at, "application/octet-stream, */*")
	p.patience.Stop()
	if err != nil {
		err = c.explain(ctx, p.ctx, p.patience, at, err)
		p.patience.Close()
		return nil, err
	}
	p.Size, p.body = sizeOf(response), response.Body
	return p, nil
}

// sizeOf is -1 also where a size is of something else than the bytes that are read.
func sizeOf(response *http.Response) int64 {
	if response.Uncompressed {
		return -1
	}
	return response.ContentLength
}

// Read returns patience.ErrSlow for what does not come, and io.ErrUnexpectedEOF for a body that
// breaks off.
func (p *Proof) Read(b []byte) (int, error) {
	p.patience.Start()
	n, err := p.body.Read(b)
	p.patience.Stop()
	p.patience.Earn(n)
	if err != nil && err != io.EOF {
		if p.caller.Err() != nil {
			err = p.caller.Err()
		} else if slow := p.patience.Exceeded(p.ctx); slow != nil {
			err = slow
		}
	}
	return n, err
}

// Close ends the request.
func (p *Proof) Close() error {
	p.patience.Close()
	return p.body.Close()
}
