package simlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// ErrOtherLog is what an error is if the place for a log holds something that equal Options would
// not have published.
var ErrOtherLog = errors.New("another log is there: choose an empty place, or give the options that it was written with, since two logs must not be mixed")

// Continue is Open for a place that may hold the beginning of this log, published by a process that
// was stopped or killed. The next epoch is the newest one that is there, of which only what is
// missing is published. It takes a moment for each hundred thousand leaves of that beginning.
//
// What a process leaves that is killed at any point is completed: an epoch's objects come whole, in
// a fixed order, and from Options alone.
func Continue(ctx context.Context, proofs, signatures *blob.Bucket, o Options) (*Log, error) {
	l, err := prepare(ctx, proofs, signatures, o)
	if err != nil {
		return nil, err
	}
	newest, err := l.newest(ctx)
	if err != nil {
		return nil, err
	}
	for l.next < newest {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := l.replay(l.next); err != nil {
			return nil, err
		}
		l.next++
	}
	if newest > l.o.First {
		l.tree.rehash(0) // what all epochs made stale
	}
	return l, l.signPast(ctx)
}

// replay changes the tree as publishing an epoch does, without its values.
func (l *Log) replay(epoch uint64) error {
	p := l.proof(epoch)
	if err := p.beforeInsert(l.o.Tamper[epoch], newRandom(l.o.Seed, "tampering", epoch)); err != nil {
		return err
	}
	_, err := l.insert(p.batch, epoch)
	return err
}

// newest returns the newest epoch of the log that has a proof, or 0 if there is none, after which
// the log keeps what it finds.
func (l *Log) newest(ctx context.Context) (uint64, error) {
	last := l.o.First + l.o.Epochs - 1
	first := l.o.First
	for first < last && l.o.Tamper[first] == Missing {
		first++
	}
	begun, err := l.hasProof(ctx, first)
	if err != nil {
		return 0, err
	}
	if !begun {
		return 0, l.refuseOthers(ctx, first)
	}
	l.publisher.keep = true
	// Epochs are published one after another: double the stride until one is not there, then halve
	// what is between.
	there, absent, stride := first, last+1, uint64(1)
	for absent-there > 1 {
		middle := there + min(stride, (absent-there)/2)
		found, err := l.hasProof(ctx, middle)
		switch {
		case err != nil:
			return 0, err
		case found:
			there, stride = middle, min(2*stride, 1<<62)
		default:
			absent, stride = middle, 1<<62
		}
	}
	for there > first && l.o.Tamper[there] == Missing {
		there--
	}
	return there, nil
}

// hasProof reports whether an epoch's proof is there or, if the epoch is missing on purpose, that
// of the one before.
func (l *Log) hasProof(ctx context.Context, epoch uint64) (bool, error) {
	for epoch > l.o.First && l.o.Tamper[epoch] == Missing {
		epoch--
	}
	keys, err := list(ctx, l.publisher.proofs, epochPrefix(epoch), 1)
	return len(keys) > 0, err
}

// refuseOthers refuses to begin a log, whose first proof is of epoch first, beside other objects.
// Signed digests of epochs without a proof may be there.
func (l *Log) refuseOthers(ctx context.Context, first uint64) error {
	keys, err := list(ctx, l.publisher.proofs, "", 1)
	if err == nil && len(keys) > 0 {
		err = fmt.Errorf("it contains %s: %w", keys[0], ErrOtherLog)
	}
	if err != nil || l.publisher.signatures == nil {
		return err
	}
	few := first - l.o.First + 2
	keys, err = list(ctx, l.publisher.signatures, "", int(min(few, 1000)))
	if err != nil {
		return err
	}
	for _, key := range keys {
		number, _ := strings.CutSuffix(key, ".json")
		epoch, err := strconv.ParseUint(number, 10, 64)
		if err != nil || key != signedKey(epoch) || epoch < l.o.First-1 || epoch >= first && l.o.Tamper[epoch] != Missing {
			return fmt.Errorf("the place for signed digests contains %s: %w", key, ErrOtherLog)
		}
	}
	l.publisher.keep = len(keys) > 0
	return nil
}

func list(ctx context.Context, bucket *blob.Bucket, prefix string, atMost int) ([]string, error) {
	page, _, err := bucket.ListPage(ctx, blob.FirstPageToken, atMost, &blob.ListOptions{Prefix: prefix})
	if err != nil {
		return nil, fmt.Errorf("listing %q: %w", prefix, err)
	}
	var keys []string
	for _, object := range page {
		keys = append(keys, object.Key)
	}
	return keys, nil
}

// existing reports whether the proof is there already, and that no other log's proof is.
func (u publisher) existing(ctx context.Context, e *Epoch, key string) (bool, error) {
	keys, err := list(ctx, u.proofs, epochPrefix(e.Name.Epoch), 100)
	if err != nil || slices.Contains(keys, key) {
		return err == nil, err
	}
	for _, other := range keys {
		// Of two proofs for an epoch, one may be there alone.
		if e.Kind != Equivocate || !strings.HasPrefix(other, epochPrefix(e.Name.Epoch)+e.Name.PreviousDigest.String()+"/") {
			return false, fmt.Errorf("it contains %s, but this log would have %s: %w", other, key, ErrOtherLog)
		}
	}
	return false, nil
}

// existingSigned is existing for a signed digest, of which the key is compared.
func (u publisher) existingSigned(ctx context.Context, s signature.SignedDigest) (bool, error) {
	key := signedKey(s.Epoch)
	reader, err := u.signatures.NewReader(ctx, key, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer reader.Close()
	var b bytes.Buffer
	if _, err := io.Copy(&b, io.LimitReader(reader, signature.MaxSize)); err != nil {
		return false, err
	}
	there, err := signature.Parse(b.Bytes())
	if err != nil || there.KeyID != s.KeyID || there.Namespace != s.Namespace || there.Digest != s.Digest {
		return false, fmt.Errorf("signed digest %s is not what this key signs of this log: %w", key, ErrOtherLog)
	}
	return true, nil
}

func epochPrefix(epoch uint64) string { return fmt.Sprintf("%d/", epoch) }

func signedKey(epoch uint64) string { return fmt.Sprintf("%d.json", epoch) }

// Complete reports whether all epochs of the Options were published.
func (l *Log) Complete() bool { return l.next-l.o.First >= l.o.Epochs }

// Unbounded is how many epochs from first on there can be at all.
func Unbounded(first uint64) uint64 { return verdict.MaxEpoch - first + 1 }
