package auditor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
)

// ledger is what the signing protocol reads and creates. All objects are created once, and whoever
// comes second gets what is on record. Reads see every write that has returned.
type ledger interface {
	// start is where signing began. errNotYet if it did not.
	start(ctx context.Context) (start, error)
	putStart(ctx context.Context, s start) (recorded start, err error)
	// signed is the signed digest of an epoch in JSON. errNotYet if there is none.
	signed(ctx context.Context, epoch uint64) ([]byte, error)
	putSigned(ctx context.Context, epoch uint64, data []byte) (recorded []byte, err error)
	// claim says that a digest is about to be signed for an epoch, claims for which epochs it was.
	claim(ctx context.Context, digest string, epoch uint64) error
	claims(ctx context.Context, digest string) ([]uint64, error)
	// last is the newest epoch that is signed; false if none is.
	last(ctx context.Context) (uint64, bool, error)
}

// start is where signing began, and whether a post of the log's said so.
type start struct {
	verdict.Anchor
	posted bool
}

var errNotYet = errors.New("not on record")

// maxClaims bounds how many claims of one digest are read. An honest log's digest has one; it has
// more only where a conflict was lost between claim and signature.
const maxClaims = 1000

// storeLedger is the ledger in an audit store:
//
//	{namespace}/signed/{shard}/{epoch, 12 digits}.json        signed digests
//	{namespace}/signing/start.json                            where signing began
//	{namespace}/signing/{first 3 digits}/{digest}-{epoch}.json claims, without content
type storeLedger struct{ done, doing auditstore.Folder }

func newStoreLedger(s *auditstore.Store, namespace string) storeLedger {
	return storeLedger{s.Folder(namespace, "signed"), s.Folder(namespace, "signing")}
}

func (l storeLedger) start(ctx context.Context) (start, error) {
	data, err := l.doing.Get(ctx, "start")
	if err != nil {
		return start{}, orNotYet(err)
	}
	return decodeStart(data)
}

func (l storeLedger) putStart(ctx context.Context, s start) (start, error) {
	data, err := json.Marshal(startObject{s.Epoch, s.Digest, s.posted})
	if err != nil {
		return start{}, err
	}
	recorded, err := l.doing.Put(ctx, append(data, '\n'), "start")
	if err != nil {
		return start{}, err
	}
	return decodeStart(recorded)
}

// startObject is the JSON of start.json.
type startObject struct {
	Epoch  uint64 `json:"epoch"`
	Digest string `json:"digest"` // 64 hexadecimal digits
	// Posted: the log's first post said so, and not the configuration. Earlier versions did not
	// keep that.
	Posted bool `json:"posted,omitempty"`
}

func decodeStart(data []byte) (start, error) {
	var o startObject
	err := json.Unmarshal(data, &o)
	if err = errors.Join(err, verdict.CheckDigest(o.Digest)); err != nil {
		return start{}, fmt.Errorf("signing/start.json: %w: %w", auditstore.ErrCorrupt, err)
	}
	return start{verdict.Anchor{Epoch: o.Epoch, Digest: o.Digest}, o.Posted}, nil
}

func (l storeLedger) signed(ctx context.Context, epoch uint64) ([]byte, error) {
	data, err := l.done.Get(ctx, shardOf(epoch), verdict.EpochName(epoch))
	return data, orNotYet(err)
}

func (l storeLedger) putSigned(ctx context.Context, epoch uint64, data []byte) ([]byte, error) {
	return l.done.Put(ctx, data, shardOf(epoch), verdict.EpochName(epoch))
}

func (l storeLedger) claim(ctx context.Context, digest string, epoch uint64) error {
	if err := verdict.CheckDigest(digest); err != nil {
		return err
	}
	_, err := l.doing.Put(ctx, []byte("{}\n"), digest[:3], digest+"-"+verdict.EpochName(epoch))
	return err
}

func (l storeLedger) claims(ctx context.Context, digest string) (epochs []uint64, err error) {
	if err := verdict.CheckDigest(digest); err != nil {
		return nil, err
	}
	for name, err := range l.doing.Names(ctx, digest+"-", digest[:3]) {
		if err != nil {
			return nil, err
		}
		text, isClaim := strings.CutPrefix(name, digest+"-")
		if !isClaim {
			break // names are in order
		}
		epoch, ok := verdict.ParseEpochName(strings.TrimSuffix(text, ".json"))
		if !ok {
			continue
		}
		if epochs = append(epochs, epoch); len(epochs) > maxClaims {
			return nil, fmt.Errorf("digest %s has more than %d claims", digest, maxClaims)
		}
	}
	return epochs, nil
}

// last lists the shards and then the newest one that has something: a crash on local disk may leave
// a folder without objects.
func (l storeLedger) last(ctx context.Context) (epoch uint64, ok bool, err error) {
	shards, err := l.shards(ctx)
	for i := len(shards) - 1; i >= 0 && err == nil; i-- {
		var epochs []uint64
		if epochs, err = l.epochs(ctx, shards[i]); len(epochs) > 0 {
			return epochs[len(epochs)-1], true, nil
		}
	}
	return 0, false, err
}

func (l storeLedger) shards(ctx context.Context) ([]uint64, error) {
	return numbers(l.done.Names(ctx, ""), "/", verdict.ParseShardName)
}

func (l storeLedger) epochs(ctx context.Context, shard uint64) ([]uint64, error) {
	return numbers(l.done.Names(ctx, "", verdict.ShardName(shard)), ".json", verdict.ParseEpochName)
}

func shardOf(epoch uint64) string { return verdict.ShardName(epoch / verdict.EpochsPerShard) }

func orNotYet(err error) error {
	if errors.Is(err, auditstore.ErrNotFound) {
		return fmt.Errorf("%w: %w", errNotYet, err)
	}
	return err
}
