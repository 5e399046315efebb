package main

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/internal/secret"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/verdict"
	"github.com/ktaudit/ktaudit/verdict/epochset"
	"gocloud.dev/blob"
)

const defaultSimulatedEpochs = 50

type simulateCmd struct {
	LogDirectory string `group:"log" required:"" placeholder:"URL" help:"Bucket or directory to write the log to. A directory is created."`
	Namespace    string `group:"log" default:"simulated.key-transparency.v1" placeholder:"NAME" help:"Name of the log, as it appears in signed digests. By default ${default}."`
	configurationFlag
	Epochs         *uint64       `group:"simulation" placeholder:"N" help:"Number of epochs. By default 50, or with --publish-every until stopped."`
	PublishEvery   time.Duration `group:"simulation" placeholder:"DURATION" help:"Go on publishing, one epoch each time, until stopped. By default all epochs are written at once."`
	First          uint64        `group:"simulation" default:"1" placeholder:"EPOCH" help:"First epoch. By default ${default}."`
	FirstLoad      int           `group:"simulation" placeholder:"N" help:"Number of leaves that the first epoch inserts. By default 50."`
	Insertions     int           `group:"simulation" default:"20" placeholder:"N" help:"Number of leaves that every later epoch inserts. By default ${default}."`
	Rotations      float64       `group:"simulation" default:"0.2" placeholder:"SHARE" help:"Share of these leaves that belong to key rotations; each rotation inserts a stale and a fresh leaf. By default ${default}."`
	DirectorySize  uint64        `group:"simulation" placeholder:"N" help:"Simulate a directory of this size, too large to hold in memory, such as 4294967296. The hashes of unchanged parts are then invented."`
	Compression    string        `group:"simulation" enum:"none,zstd,gzip,s2,mixed" default:"none" help:"Compression of batches: none, zstd, gzip, s2, or mixed to vary it by epoch."`
	Seed           uint64        `group:"simulation" default:"1" placeholder:"N" help:"Seed of the simulation; equal seeds give equal logs. By default ${default}."`
	Tamper         []string      `group:"simulation" placeholder:"EPOCH=KIND" help:"Tamper with an epoch; repeatable. Kinds: ${tamper_kinds}."`
	Signatures     string        `group:"signatures" placeholder:"URL" help:"Bucket or directory to write signed digests to. A directory is created. By default no digests are signed."`
	SigningKeyFile string        `group:"signatures" type:"existingfile" placeholder:"FILE" help:"File that holds the signing key, an ed25519 seed of 64 hexadecimal digits. KTAUDIT_SIGNING_KEY may hold it instead. By default the key is made from --seed."`
}

func (simulateCmd) Help() string {
	return `A log that is there in part is completed, if the flags are those that it was begun with: after a crash or Ctrl-C the same command
goes on. With --publish-every it runs until SIGTERM or Ctrl-C and then exits with 0, and faults of the bucket are waited out. Each
epoch of 20 insertions then takes about 3 kB of memory and 25 kB of the bucket; --epochs limits both.

Examples:
  ktaudit simulate --log-directory ./log --epochs 1000 --compression mixed
  ktaudit simulate --log-directory ./log --signatures ./signatures --tamper 17=rewrite --tamper 30=missing
  ktaudit simulate --log-directory ./log --publish-every 2s --tamper 60=rewrite
  ktaudit simulate --log-directory ./big --epochs 1 --insertions 300000 --directory-size 4294967296`
}

// Run writes the log and prints what there is to know about it.
func (c simulateCmd) Run(ctx context.Context, a *app) (err error) {
	o, err := c.options()
	if err != nil {
		return err
	}
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	log, err := openOutput(ctx, c.LogDirectory, &open)
	if err != nil {
		return fmt.Errorf("--log-directory: %w", err)
	}
	var signatures *blob.Bucket
	if c.Signatures != "" {
		if signatures, err = openOutput(ctx, c.Signatures, &open); err != nil {
			return fmt.Errorf("--signatures: %w", err)
		}
	}
	if c.PublishEvery != 0 {
		return c.publish(ctx, a, log, signatures, o)
	}
	summary, err := simulateLog(ctx, a, log, signatures, o)
	if err != nil {
		return inOtherLog("--log-directory", c.LogDirectory, err)
	}
	return c.print(a, o, summary)
}

// options are what the flags ask for.
func (c simulateCmd) options() (simlog.Options, error) {
	configuration, err := c.configuration()
	if err != nil {
		return simlog.Options{}, err
	}
	compression, err := simlog.ParseCompression(c.Compression)
	if err != nil {
		return simlog.Options{}, fmt.Errorf("--compression: %w", err)
	}
	tamper, err := parseTamper(c.Tamper)
	if err != nil {
		return simlog.Options{}, err
	}
	epochs := uint64(defaultSimulatedEpochs)
	switch {
	case c.Epochs != nil:
		epochs = *c.Epochs
	case c.PublishEvery != 0 && c.DirectorySize != 0:
		return simlog.Options{}, errors.New("--directory-size makes a directory for so many epochs: give --epochs")
	case c.PublishEvery != 0:
		epochs = simlog.Unbounded(c.First)
	}
	switch {
	case epochs < 1 || c.First < 1 || c.Insertions < 1:
		return simlog.Options{}, errors.New("--epochs, --first and --insertions must be at least 1")
	case c.First > verdict.MaxEpoch || epochs > simlog.Unbounded(c.First):
		return simlog.Options{}, fmt.Errorf("--first and --epochs: the last possible epoch is %d", uint64(verdict.MaxEpoch))
	}
	if err := refuseNegative("publish-every", c.PublishEvery); err != nil {
		return simlog.Options{}, err
	}
	o := simlog.Options{
		Configuration: configuration, Namespace: c.Namespace, Seed: c.Seed, First: c.First, Epochs: epochs,
		FirstLoad: c.FirstLoad, Insertions: c.Insertions, RotationShare: c.Rotations, DirectorySize: c.DirectorySize,
		Compression: compression, Tamper: tamper,
	}
	if c.PublishEvery != 0 {
		o.Now = time.Now
	}
	if c.Signatures != "" {
		o.SigningKey, err = c.signingKey()
	} else if c.SigningKeyFile != "" {
		err = errors.New("--signing-key-file needs a place for the signed digests: give --signatures")
	}
	return o, err
}

func parseTamper(texts []string) (map[uint64]simlog.Kind, error) {
	tamper := map[uint64]simlog.Kind{}
	for _, text := range texts {
		epoch, kind, err := simlog.ParseTamper(text)
		if err != nil {
			return nil, fmt.Errorf("--tamper: %w", err)
		}
		if other, ok := tamper[epoch]; ok {
			return nil, fmt.Errorf("--tamper: epoch %d is given twice, as %s and as %s", epoch, other, kind)
		}
		tamper[epoch] = kind
	}
	return tamper, nil
}

// tamperKinds is for the help text.
func tamperKinds() string {
	var names []string
	for _, kind := range simlog.Kinds() {
		names = append(names, string(kind))
	}
	return strings.Join(names, ", ")
}

// signingKey returns the user's key, or one made from the seed, which is no secret and for tests
// only.
func (c simulateCmd) signingKey() (ed25519.PrivateKey, error) {
	text, from := os.Getenv("KTAUDIT_SIGNING_KEY"), "KTAUDIT_SIGNING_KEY"
	if c.SigningKeyFile != "" {
		var err error
		if text, err = secret.ReadFile(c.SigningKeyFile); err != nil {
			return nil, fmt.Errorf("--signing-key-file: %w", err)
		}
		from = c.SigningKeyFile
	}
	if text == "" {
		return demoKey(c.Seed), nil
	}
	key, err := auditor.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return key, nil
}

func demoKey(seed uint64) ed25519.PrivateKey {
	secret := sha256.Sum256(fmt.Appendf(nil, "ktaudit simulated signing key %d", seed))
	return ed25519.NewKeyFromSeed(secret[:])
}

func verifyingKey(key ed25519.PrivateKey) string {
	return hex.EncodeToString(key.Public().(ed25519.PublicKey))
}

// openOutput opens a bucket, or a directory that is made if it is not there.
func openOutput(ctx context.Context, at string, open *closers) (*blob.Bucket, error) {
	if blobstore.IsReadOnly(at) {
		return nil, fmt.Errorf("%s is a public log, which is read-only", at)
	}
	if !strings.Contains(at, "://") {
		if err := os.MkdirAll(at, 0o755); err != nil {
			return nil, err
		}
	}
	bucket, err := blobstore.OpenBucket(ctx, at)
	if err != nil {
		return nil, err
	}
	open.add(bucket.Close)
	return bucket, nil
}

// simulateLog writes a log, or what is missing of it, under a progress bar.
func simulateLog(ctx context.Context, a *app, log, signatures *blob.Bucket, o simlog.Options) (simlog.Summary, error) {
	a.bars.start("simulating", o.Epochs)
	defer a.bars.finish()
	s, err := simlog.Write(ctx, log, signatures, o, func(done, _ uint64) { a.bars.set(done) })
	if err != nil && ctx.Err() != nil {
		err = &unfinishedError{err, fmt.Sprintf("%d of %d epochs are written; the same command writes the others", s.Epochs, o.Epochs)}
	}
	return s, err
}

// inOtherLog adds to an error about a place that holds another log which place that is.
func inOtherLog(flag, at string, err error) error {
	if errors.Is(err, simlog.ErrOtherLog) {
		return fmt.Errorf("%s: %s: %w", flag, at, err)
	}
	return err
}

// print prints what was written, and a command that audits it.
func (c simulateCmd) print(a *app, o simlog.Options, s simlog.Summary) error {
	key := ""
	if o.SigningKey != nil {
		key = verifyingKey(o.SigningKey)
	}
	if a.json {
		return a.object(struct {
			Namespace      string `json:"namespace"`
			LogDirectory   string `json:"log_directory"`
			Signatures     string `json:"signatures,omitempty"`
			VerifyingKey   string `json:"verifying_key,omitempty"`
			First          uint64 `json:"first"`
			Last           uint64 `json:"last"`
			PreviousDigest string `json:"previous_digest"`
			Digest         string `json:"digest"`
			Objects        int    `json:"objects"`
			Inserted       int    `json:"inserted"`
			Unchanged      int    `json:"unchanged"`
			Bytes          int64  `json:"bytes"`
			StoredBytes    int64  `json:"stored_bytes"`
		}{
			c.Namespace, c.LogDirectory, c.Signatures, key, s.First, s.Last, s.PreviousDigest.String(), s.Digest.String(),
			s.Objects, s.Inserted, s.Unchanged, s.Bytes, s.StoredBytes,
		})
	}
	a.line("namespace", "%s", c.Namespace)
	a.line("log", "%s", c.LogDirectory)
	a.line("epochs", "%s", rangeText(epochset.Range{From: s.First, To: s.Last}))
	a.line("elements", "%d inserted, %d unchanged", s.Inserted, s.Unchanged)
	a.line("size", "%d bytes, %d stored in %d batches", s.Bytes, s.StoredBytes, s.Objects)
	a.line("digest", "%s", s.Digest)
	c.printKey(a, o)
	a.printf("\nAudit it: %s --to %d\n", c.auditCommand(o), s.Last)
	return nil
}
