package witnesses

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/ktaudit/ktaudit/internal/text"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	// maxAnswer is the longest answer that is read, in bytes.
	maxAnswer = 64 << 10
	// maxRequests is how often one witness is asked about one checkpoint: with a size that is
	// outdated, with the right one, with that of a replica that was quicker, and once more.
	maxRequests = 5
	// maxQuoted is how much of what a witness says about a fault is shown, in bytes.
	maxQuoted = 200
)

var (
	// ErrUnknownOrigin says that a witness does not know the log, or that the URL is not that of a
	// witness. Its operator must add the log's key; asking again is of no use before that.
	ErrUnknownOrigin = errors.New("the witness does not know this log (404): its operator must add the log's key, unless the url is wrong")
	// ErrNotSigned says that a witness has another key for the log. Its operator must change that.
	ErrNotSigned = errors.New("the witness knows another key for this log (403): its operator must be given the one that signs")
)

// AheadError says that a witness has cosigned a larger tree under this log's key than the one that
// it was asked about. A replica may have been quicker. If there is no such tree on record, the
// audit store was put back to an older state, or the key signs elsewhere as well.
type AheadError struct {
	Name string // the witness
	Size int64  // of the tree that it has cosigned
}

func (e *AheadError) Error() string {
	return fmt.Sprintf("witness %s has cosigned a tree of %d entries, which is larger", e.Name, e.Size)
}

// OtherHistoryError says that a witness has, under this log's key, cosigned a tree that the tree
// which it was asked about does not extend. It was asked twice. The audit store was changed, or the
// key signs elsewhere as well; no fault of a network does that.
type OtherHistoryError struct {
	Name string // the witness
	Size int64  // of the tree that it has cosigned
}

func (e *OtherHistoryError) Error() string {
	return fmt.Sprintf("witness %s has cosigned another history: its tree of %d entries is not extended by this one", e.Name, e.Size)
}

// Answer is what one witness said.
type Answer struct {
	Name string // of its key
	URL  string
	Key  string
	// Line is the signature line of a cosignature that was verified; nil with an error.
	Line []byte
	// Err is an *AheadError, an *OtherHistoryError, ErrUnknownOrigin, ErrNotSigned, or else a
	// fault, which may pass.
	Err error
}

// Ask has all witnesses cosign a signed checkpoint, at the same time, and returns what each of them
// said, in their order. The tree is the checkpoint's. Consistency returns the proof that it extends
// its first old entries, from 1 up to less than all; it is called by several goroutines.
func (w *Witnesses) Ask(ctx context.Context, checkpoint []byte, tree tlog.Tree, consistency func(old int64) (tlog.TreeProof, error)) []Answer {
	answers := make([]Answer, len(w.members))
	var wait sync.WaitGroup
	for i, m := range w.members {
		answers[i] = Answer{Name: m.verifier.Name(), URL: m.url, Key: m.key}
		wait.Go(func() {
			a := asking{w: w, m: m, checkpoint: checkpoint, tree: tree, consistency: consistency}
			answers[i].Line, answers[i].Err = a.run(ctx)
		})
	}
	wait.Wait()
	return answers
}

// asking is about one checkpoint, with one witness.
type asking struct {
	w           *Witnesses
	m           *member
	checkpoint  []byte
	tree        tlog.Tree
	consistency func(old int64) (tlog.TreeProof, error)
}

// run asks until there is an answer that another question would not change.
func (a asking) run(ctx context.Context) ([]byte, error) {
	// One at a time: a witness that gets two at once turns one of them away.
	a.m.mu.Lock()
	defer a.m.mu.Unlock()
	// For all requests together: one witness that is slow each time must not hold up the others.
	ctx, cancel := context.WithTimeout(ctx, a.w.timeout)
	defer cancel()
	old, differs := min(a.m.seen, a.tree.N), false
	for range maxRequests {
		status, answer, err := a.post(ctx, old)
		if err != nil {
			return nil, fmt.Errorf("witness %s: %w", a.m.verifier.Name(), err)
		}
		switch status {
		case http.StatusOK:
			line, err := a.cosignature(answer)
			if err == nil {
				a.m.seen = a.tree.N
			}
			return line, err
		case http.StatusConflict:
			size, err := parseSize(answer)
			switch {
			case err != nil:
				return nil, a.fault(status, answer, err)
			case size > a.tree.N:
				return nil, &AheadError{a.m.verifier.Name(), size}
			case size != old:
				a.m.seen, old, differs = size, size, false
				continue
			case size != a.tree.N:
				return nil, a.fault(status, answer, fmt.Errorf("it says that it has %d entries, which is what it was told", size))
			}
			// It has a tree of the same size, and so with another root.
			if differs {
				return nil, &OtherHistoryError{a.m.verifier.Name(), old}
			}
			differs = true
		case http.StatusUnprocessableEntity:
			if old == 0 {
				return nil, a.fault(status, answer, errors.New("it wants a proof that a tree extends an empty one"))
			}
			if differs {
				return nil, &OtherHistoryError{a.m.verifier.Name(), old}
			}
			differs = true
		case http.StatusNotFound:
			return nil, fmt.Errorf("witness %s: %w", a.m.verifier.Name(), ErrUnknownOrigin)
		case http.StatusForbidden:
			return nil, fmt.Errorf("witness %s: %w", a.m.verifier.Name(), ErrNotSigned)
		default:
			return nil, a.fault(status, answer, nil)
		}
	}
	return nil, fmt.Errorf("witness %s: asked %d times, it had another size each time: others have this log cosigned, too", a.m.verifier.Name(), maxRequests)
}

// fault is an answer that says nothing of the log.
func (a asking) fault(status int, answer []byte, err error) error {
	said := strings.TrimSpace(text.Clean(string(answer), maxQuoted))
	if err == nil {
		return fmt.Errorf("witness %s answers %d: %s", a.m.verifier.Name(), status, said)
	}
	return fmt.Errorf("witness %s answers %d: %w: %s", a.m.verifier.Name(), status, err, said)
}

// post asks once, on the assumption that the witness has seen a tree of a size.
func (a asking) post(ctx context.Context, old int64) (status int, answer []byte, err error) {
	var proof tlog.TreeProof
	if old > 0 && old < a.tree.N {
		if proof, err = a.consistency(old); err != nil {
			return 0, nil, fmt.Errorf("proof that %d entries extend %d: %w", a.tree.N, old, err)
		}
	}
	body := bytes.NewReader(Request{Old: old, Proof: proof, Checkpoint: a.checkpoint}.Format())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.m.url+"/add-checkpoint", body)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("User-Agent", "ktaudit (+https://github.com/ktaudit/ktaudit)")
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	response, err := a.w.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err == nil && len(answer) > maxAnswer {
		err = fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	return response.StatusCode, answer, err
}

// cosignature finds in an answer the line that verifies under the member's key.
func (a asking) cosignature(answer []byte) ([]byte, error) {
	split := bytes.LastIndex(a.checkpoint, []byte("\n\n"))
	if split < 0 {
		return nil, errors.New("the checkpoint is no signed note")
	}
	// Only the answer's lines: a cosignature that the checkpoint has already is none of today's.
	// A blank line in it would make more of the note its text.
	if bytes.Contains(answer, []byte("\n\n")) || bytes.HasPrefix(answer, []byte("\n")) {
		return nil, a.fault(http.StatusOK, answer, errors.New("there are blank lines between its signatures"))
	}
	_, line, err := a.m.open(append(a.checkpoint[:split+2:split+2], answer...))
	if err != nil {
		return nil, a.fault(http.StatusOK, answer, fmt.Errorf("no cosignature under its key %s: %w", a.m.key, err))
	}
	return line, nil
}

// parseSize reads what comes with a conflict: a size on a line.
func parseSize(answer []byte) (int64, error) {
	line := strings.TrimSuffix(string(answer), "\n")
	size, err := strconv.ParseInt(line, 10, 64)
	if err != nil || size < 0 || line != strconv.FormatInt(size, 10) {
		return 0, errors.New("a conflict without the size that it has")
	}
	return size, nil
}
