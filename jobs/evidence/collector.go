package evidence

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/text"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/rs/zerolog"
	"gocloud.dev/blob"
)

const (
	// maxFindings is how many findings one epoch gets. An epoch that is found wrong again and
	// again, or that crashes keep from a verdict, does not fill the store.
	maxFindings = 4
	// Timeout bounds all of a collection, so that a log or a store that does not answer holds up
	// no verdict for longer. The other bounds are shares of it: what is left for writing the
	// findings, a single small request, and how long it goes on once its job was told to end,
	// which still has a verdict to write after it.
	Timeout                               = 40 * time.Second
	writeTimeout, askTimeout, stopTimeout = Timeout / 4, Timeout / 4, Timeout / 4
	// maxListed is how many epochs are listed.
	maxListed = 4
	// maxText bounds what an error says in the findings.
	maxText = 500
)

// Collector collects evidence on one log. All fields but Signatures must be set.
type Collector struct {
	Namespace string
	Fetcher   *fetcher.Fetcher
	Store     *auditstore.Store
	// Signatures holds the log's signed digests as "{epoch}.json". Nil means that only those in the
	// audit store are collected.
	Signatures *blob.Bucket
	// MaxBatches and MaxBytes bound how many batches are kept for one incident, and how large each
	// may be; of others the size is kept, and the hash if it is known.
	MaxBatches int
	MaxBytes   int64
	Software   string
	Log        zerolog.Logger
}

// Found is what else is known of an incident when its evidence is collected.
type Found struct {
	// Listings are those that the incident was found with.
	Listings []fetcher.Listing
	// Judge judges a batch that is concerned and returns its hash. Nil leaves them unjudged.
	Judge Judge
}

// Judge judges a batch and returns the SHA-256 of its stored bytes, in hexadecimal.
type Judge func(ctx context.Context, wanted incident.Batch, object fetcher.Object) (judged Judged, hash string, err error)

// Collect puts on record what can be had around an incident. Afterwards the caller records what the
// incident rests on, and raises it. Collecting again, after a crash, writes findings of the new
// time beside the older ones, a few times at most. A nil Collector collects nothing.
func (c *Collector) Collect(ctx context.Context, concern incident.Concern, found Found) {
	if c == nil {
		return
	}
	recording, recorded := bounded(ctx, Timeout, 2*stopTimeout) // also when the time for the rest is over
	defer recorded()
	ctx, collected := bounded(ctx, Timeout-writeTimeout, stopTimeout)
	defer collected()
	log := c.Log.With().Str("namespace", c.Namespace).Uint64("epoch", concern.Epoch).Logger()
	names, err := c.Store.EvidenceNames(ctx, c.Namespace, concern.Epoch)
	if err != nil {
		log.Warn().Err(err).Msg("evidence beyond what the incident rests on was not collected")
		return
	}
	already := 0
	for _, name := range names {
		if strings.HasPrefix(name, Kind+"-") {
			already++
		}
	}
	if already >= maxFindings {
		return
	}
	f := Findings{
		Schema: Schema, Namespace: c.Namespace, Epoch: concern.Epoch, At: time.Now().UTC(), Software: c.Software,
		Reason: concern.Reason, Detail: concern.Detail,
		Listings: found.Listings, SignedDigests: c.signedDigests(ctx, concern.Epoch),
	}
	if len(f.Listings) == 0 {
		f.Listings = c.list(ctx, concern)
	}
	for i, wanted := range concern.Batches {
		if i >= c.MaxBatches {
			f.MoreBatches = concern.MoreBatches + len(concern.Batches) - i
			break
		}
		wanted.Key = listedKey(f.Listings, wanted.Key)
		f.Batches = append(f.Batches, c.batch(ctx, concern.Epoch, wanted, found.Judge))
	}
	data, err := json.Marshal(f)
	if err == nil {
		err = c.Store.PutEvidence(recording, c.Namespace, concern.Epoch, incident.Evidence{Kind: Kind, Data: data, Extension: ".json"}.Name(), data)
	}
	if err != nil {
		log.Warn().Err(err).Msg("evidence beyond what the incident rests on was not recorded")
	}
}

// bounded returns a context that ends after a time, or a grace after ctx does if that is earlier.
func bounded(ctx context.Context, limit, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, done := wait.Outlive(ctx, grace)
	longer, cancel := context.WithTimeout(longer, limit)
	return longer, func() { cancel(); done() }
}

// On is Collect for who knows nothing more, as the Collect of an incident.Recorder.
func (c *Collector) On(ctx context.Context, concern incident.Concern) {
	c.Collect(ctx, concern, Found{})
}

// list lists the epochs concerned.
func (c *Collector) list(ctx context.Context, concern incident.Concern) []fetcher.Listing {
	var listings fetcher.Listings
	epochs := map[uint64]bool{}
	for _, b := range append([]incident.Batch{{Epoch: concern.Epoch}}, concern.Batches...) {
		if len(epochs) == maxListed || epochs[b.Epoch] {
			continue
		}
		epochs[b.Epoch] = true
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		_, _ = c.Fetcher.Locate(fetcher.RecordListings(asking, &listings), b.Epoch) // the listing has the error
		cancel()
	}
	return listings.All()
}

// listedKey is the key under which a batch was listed, of which only the name may be known.
func listedKey(listings []fetcher.Listing, key string) string {
	name, err := fetcher.ReadKey(key)
	if err != nil {
		return key
	}
	found := key
	for _, l := range listings {
		for _, o := range l.Objects {
			if o.Key == key {
				return key
			}
			if listed, err := fetcher.ReadKey(o.Key); err == nil && listed == name {
				found = o.Key
			}
		}
	}
	return found
}

// signedDigests reads the signed digests of an epoch and its neighbours.
func (c *Collector) signedDigests(ctx context.Context, epoch uint64) []SignedDigest {
	var all []SignedDigest
	for e := max(epoch, 2) - 1; e <= min(epoch+1, verdict.MaxEpoch); e++ {
		if c.Signatures != nil {
			asking, cancel := context.WithTimeout(ctx, askTimeout)
			data, _, err := signature.BucketSource{Bucket: c.Signatures}.Get(asking, e)
			cancel()
			all = append(all, signedDigest(e, "log", data, err))
		}
		data, err := c.Store.Signature(ctx, c.Namespace, e)
		if c.Signatures != nil && errors.Is(err, auditstore.ErrNotFound) {
			continue
		}
		all = append(all, signedDigest(e, "audit store", data, err))
	}
	return all
}

func signedDigest(epoch uint64, from string, data []byte, err error) SignedDigest {
	s := SignedDigest{Epoch: epoch, From: from, Data: data}
	if err != nil {
		s.Data, s.Error = nil, text.Clean(err.Error(), maxText)
	}
	return s
}

// batch keeps one batch, if it can be had.
func (c *Collector) batch(ctx context.Context, epoch uint64, wanted incident.Batch, judge Judge) Batch {
	b := Batch{Epoch: wanted.Epoch, Key: wanted.Key, SHA256: wanted.SHA256}
	if b.SHA256 != "" && c.archived(ctx, wanted.Epoch, b.SHA256) {
		b.Kept = "archive"
		return b
	}
	fail := func(err error) Batch {
		b.NotKept = text.Clean(err.Error(), maxText)
		return b
	}
	object, err := c.Fetcher.Find(ctx, wanted.Key)
	if err != nil {
		return fail(err)
	}
	b.StoredBytes, b.ModifiedAt = object.Size, object.ModTime.UTC()
	if judge != nil {
		judged, hash, err := judge(ctx, wanted, object)
		if err != nil {
			return fail(err)
		}
		b.Judged = &judged
		if b.SHA256 == "" {
			b.SHA256 = hash
		}
	}
	if object.Size > c.MaxBytes {
		return fail(fmt.Errorf("%d bytes, over the limit for evidence, %d", object.Size, c.MaxBytes))
	}
	if b.SHA256 == "" { // the name of what is kept has it
		if b.SHA256, err = c.Fetcher.Copy(ctx, object, io.Discard); err != nil {
			return fail(err)
		}
	}
	if b.Kept, err = c.keep(ctx, epoch, object, b.SHA256); err != nil {
		return fail(err)
	}
	return b
}

// archived reports whether the archive has an epoch's batch of that hash.
func (c *Collector) archived(ctx context.Context, epoch uint64, hash string) bool {
	archive, err := c.Store.OpenArchive(ctx, c.Namespace, epoch)
	if err != nil {
		return false
	}
	defer archive.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, archive)
	return err == nil && hex.EncodeToString(sum.Sum(nil)) == hash
}

// keep writes a batch of a known hash among the evidence and returns its name there.
func (c *Collector) keep(ctx context.Context, epoch uint64, object fetcher.Object, hash string) (string, error) {
	name := fmt.Sprintf("%s-%.16s%s", BatchKind, hash, object.Extension) // as incident.Evidence.Name
	w, err := c.Store.EvidenceWriter(ctx, c.Namespace, epoch, name)
	if err != nil {
		return "", err
	}
	defer w.Abort()
	got, err := c.Fetcher.Copy(ctx, object, w)
	switch {
	case err != nil:
		return "", err
	case got != hash:
		return "", fmt.Errorf("the log serves other bytes now, with SHA-256 %s", got)
	}
	return name, w.Commit()
}
