package witnesses

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	// MaxRequest is the longest request that is read, in bytes.
	MaxRequest = 64 << 10
	// maxProof is how many lines a proof may have, by C2SP.
	maxProof = 63
)

// Request is the body of an add-checkpoint request.
type Request struct {
	Old        int64 // size of the tree that the witness has cosigned last
	Proof      tlog.TreeProof
	Checkpoint []byte // a signed note
}

// Format returns the bytes of a request.
func (r Request) Format() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", r.Old)
	for _, h := range r.Proof {
		fmt.Fprintf(&b, "%s\n", h)
	}
	b.WriteByte('\n')
	b.Write(r.Checkpoint)
	return b.Bytes()
}

// ParseRequest reads a request. The checkpoint is not looked at.
func ParseRequest(body []byte) (r Request, err error) {
	if len(body) > MaxRequest {
		return r, fmt.Errorf("%d bytes, the limit is %d", len(body), MaxRequest)
	}
	head, checkpoint, ok := bytes.Cut(body, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	size, isOld := strings.CutPrefix(lines[0], "old ")
	if r.Old, err = strconv.ParseInt(size, 10, 64); err != nil || !ok || !isOld || r.Old < 0 || size != strconv.FormatInt(r.Old, 10) {
		return Request{}, errors.New("want a line \"old SIZE\", the lines of a proof, an empty line and a signed checkpoint")
	}
	if len(lines)-1 > maxProof {
		return Request{}, fmt.Errorf("a proof of %d lines, the limit is %d", len(lines)-1, maxProof)
	}
	for _, line := range lines[1:] {
		h, err := tlog.ParseHash(line)
		if err != nil {
			return Request{}, fmt.Errorf("proof: %.80q is no hash", line)
		}
		r.Proof = append(r.Proof, h)
	}
	r.Checkpoint = checkpoint
	return r, nil
}
