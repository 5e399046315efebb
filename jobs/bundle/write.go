package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/jobs/evidence"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/verdict"
)

// ErrNothing says that nothing on record is wrong with the epoch.
var ErrNothing = errors.New("nothing on record is wrong with this epoch: it is not rejected or withdrawn, and there is no evidence")

// maxEpochs is of how many epochs there is something in a bundle, maxOverrulings how many of the
// newest overrulings of each.
const maxEpochs, maxOverrulings = 16, 16

// About says what a bundle is about, and what it takes to check it that is not in the audit store.
type About struct {
	Namespace     string
	Epoch         uint64
	Configuration string
	VerifyingKeys []string
	Software      string
}

// Write writes a bundle: a tar archive, compressed with zstd. It reads each batch twice. What is
// not on record is named in the manifest, and the manifest is returned.
func Write(ctx context.Context, w io.Writer, store *auditstore.Store, about About) (Manifest, error) {
	g := gathering{store: store, about: about, keys: map[string][]string{}}
	if err := g.gather(ctx); err != nil {
		return Manifest{}, err
	}
	m := Manifest{
		Schema: Schema, Namespace: about.Namespace, Epoch: about.Epoch, Configuration: about.Configuration,
		VerifyingKeys: g.verifyingKeys(), Software: about.Software, Missing: g.missing,
	}
	for _, s := range g.sources {
		m.Files = append(m.Files, s.File)
	}
	data, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return m, err
	}
	if _, err := parseManifest(data); err != nil || len(data) > maxManifest {
		return m, fmt.Errorf("epoch %d has more on record than a bundle holds: %w", about.Epoch, err)
	}
	// One goroutine and no times: the same store makes the same bytes.
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(maxWindow/2))
	if err != nil {
		return m, err
	}
	t := tar.NewWriter(z)
	err = put(t, File{Path: manifestPath, Size: int64(len(data))}, bytes.NewReader(data))
	for _, s := range g.sources {
		if err == nil {
			err = s.copyTo(ctx, t)
		}
	}
	if err != nil {
		return m, err
	}
	return m, errors.Join(t.Close(), z.Close())
}

func put(t *tar.Writer, f File, r io.Reader) error {
	if err := t.WriteHeader(&tar.Header{Name: f.Path, Size: f.Size, Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}); err != nil {
		return err
	}
	_, err := io.Copy(t, r)
	return err
}

// source is a file of a bundle and where its bytes are.
type source struct {
	File
	open func(ctx context.Context) (io.ReadCloser, error)
}

func (s source) copyTo(ctx context.Context, t *tar.Writer) error {
	r, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	sum := sha256.New()
	if err := put(t, s.File, io.TeeReader(r, sum)); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != s.SHA256 {
		return fmt.Errorf("%s changed in the audit store while it was read", s.Path)
	}
	return nil
}

// gathering is what is found in the audit store for a bundle.
type gathering struct {
	store   *auditstore.Store
	about   About
	sources []source
	keys    map[string][]string // of batches, by the SHA-256 of their bytes
	missing []string
	epochs  []uint64 // concerned
	signers []string // keys that evidence names, of other auditors
}

func (g *gathering) gather(ctx context.Context) error {
	n := g.about.Epoch
	g.concern(n)
	names, err := g.store.EvidenceNames(ctx, g.about.Namespace, n)
	if err != nil {
		return err
	}
	var batches []string
	for _, name := range names {
		if strings.HasPrefix(name, evidence.BatchKind+"-") {
			batches = append(batches, name)
			continue
		}
		data, err := g.store.Evidence(ctx, g.about.Namespace, n, name)
		if err != nil {
			return err
		}
		g.learn(name, data)
		g.add(path.Join(evidenceDir, name), data)
	}
	rejected, err := g.addVerdicts(ctx)
	if err != nil {
		return err
	}
	gone, err := g.addIncidents(ctx)
	if err != nil {
		return err
	}
	if !rejected && !gone && len(names) == 0 {
		return ErrNothing
	}
	if err := g.addRest(ctx); err != nil {
		return err
	}
	slices.SortStableFunc(g.sources, func(a, b source) int { return strings.Compare(a.Path, b.Path) })
	return g.addBatches(ctx, batches)
}

// concern notes that an epoch is concerned.
func (g *gathering) concern(epoch uint64) {
	if epoch > 0 && len(g.epochs) < maxEpochs && !slices.Contains(g.epochs, epoch) {
		g.epochs = append(g.epochs, epoch)
	}
}

// learn reads from evidence which epochs are concerned, and what batches are called.
func (g *gathering) learn(name string, data []byte) {
	var e struct {
		Keys   []string                 `json:"keys"`
		Epochs []incident.BrokenVerdict `json:"epochs"`
		Found  verdict.Batch            `json:"batch"`
		Kept   []evidence.Batch         `json:"batches"`
		Said   []incident.Statement     `json:"statements"`
	}
	if !strings.HasSuffix(name, ".json") || json.Unmarshal(data, &e) != nil {
		return
	}
	for _, key := range e.Keys {
		if name, err := fetcher.ReadKey(key); err == nil {
			g.concern(name.Epoch)
		}
	}
	for _, b := range e.Epochs {
		g.concern(b.Epoch)
		g.call(b.BatchSHA256, b.BatchKey)
	}
	g.call(e.Found.SHA256, e.Found.Key)
	for _, s := range e.Said {
		g.call(s.BatchSHA256, s.BatchKey)
		if s.Key != "" {
			g.signers = append(g.signers, s.Key)
		}
	}
	for _, b := range e.Kept {
		g.concern(b.Epoch)
		g.call(b.SHA256, b.Key)
	}
}

// verifyingKeys are those that the auditor trusts, and those of other auditors.
func (g *gathering) verifyingKeys() []string {
	keys := slices.Clone(g.about.VerifyingKeys)
	for _, key := range g.signers {
		_, err := signature.ParseKeys(append(slices.Clone(keys), key))
		if err == nil && len(keys) < maxVerifying && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// call notes what a batch is called.
func (g *gathering) call(hash, key string) {
	if hash != "" && key != "" && len(g.keys[hash]) < maxKeys && !slices.Contains(g.keys[hash], key) {
		g.keys[hash] = append(g.keys[hash], key)
		slices.Sort(g.keys[hash])
	}
}

// around are the epochs concerned, and the neighbours of the one that the bundle is about.
func (g *gathering) around() []uint64 {
	all := slices.Clone(g.epochs)
	for _, e := range []uint64{g.about.Epoch - 1, g.about.Epoch + 1} {
		if e > 0 && e <= verdict.MaxEpoch && !slices.Contains(all, e) {
			all = append(all, e)
		}
	}
	slices.Sort(all)
	return all
}

// addVerdicts adds the verdicts around the epoch, and how they were overruled. It reports whether
// the epoch was ever rejected.
func (g *gathering) addVerdicts(ctx context.Context) (rejected bool, err error) {
	for _, epoch := range g.around() {
		data, err := g.store.VerdictBytes(ctx, g.about.Namespace, epoch)
		if errors.Is(err, auditstore.ErrNotFound) {
			if epoch == g.about.Epoch {
				g.missing = append(g.missing, fmt.Sprintf("a verdict on epoch %d", epoch))
			}
			continue
		}
		if err != nil {
			return false, err
		}
		if v, err := verdict.Decode(data); err == nil {
			g.call(v.Batch.SHA256, v.Batch.Key)
			rejected = rejected || epoch == g.about.Epoch && v.Outcome == verdict.Rejected
		}
		g.add(verdictPath(epoch), data)
		overrulings, err := g.store.OverrulingBytes(ctx, g.about.Namespace, epoch)
		if err != nil {
			return false, err
		}
		for i, data := range overrulings {
			var o verdict.Overruling
			if json.Unmarshal(data, &o) == nil && i >= len(overrulings)-maxOverrulings {
				g.call(o.Verdict.Batch.SHA256, o.Verdict.Batch.Key)
				rejected = rejected || epoch == g.about.Epoch && o.Verdict.Outcome == verdict.Rejected
				g.add(overrulingPath(epoch, uint64(i)+1), data)
			}
		}
	}
	return rejected, nil
}

// addIncidents adds what is open on the epoch, and reports whether its batch is gone from the log.
func (g *gathering) addIncidents(ctx context.Context) (gone bool, err error) {
	incidents := g.store.Incidents(g.about.Namespace)
	for name, err := range incidents.OpenNames(ctx) {
		if err != nil {
			return false, err
		}
		if from, to := incident.Epochs(name); g.about.Epoch < from || g.about.Epoch > to {
			continue
		}
		data, err := incidents.Incident(ctx, name)
		switch {
		case errors.Is(err, auditstore.ErrNotFound):
			continue // it ended meanwhile
		case err != nil:
			return false, err
		}
		g.add(path.Join(incidentsDir, name+".json"), data)
		gone = gone || strings.HasPrefix(name, withdrawnPrefix)
	}
	return gone, nil
}

// addRest adds signed digests and the seal.
func (g *gathering) addRest(ctx context.Context) error {
	for _, epoch := range g.around() {
		data, err := g.store.Signature(ctx, g.about.Namespace, epoch)
		if err == nil {
			g.add(path.Join(signedDir, fmt.Sprintf("%012d.json", epoch)), data)
		} else if !errors.Is(err, auditstore.ErrNotFound) {
			return err
		}
	}
	shard := g.about.Epoch / verdict.EpochsPerShard
	data, err := g.store.SealBytes(ctx, g.about.Namespace, shard)
	if errors.Is(err, auditstore.ErrNotFound) {
		return nil
	}
	if err == nil {
		g.add(path.Join(sealsDir, fmt.Sprintf("%09d.json", shard)), data)
	}
	return err
}

func (g *gathering) add(file string, data []byte) {
	sum := sha256.Sum256(data)
	g.sources = append(g.sources, source{
		File{Path: file, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])},
		func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
	})
}

// addBatches adds the archived batches of the epochs concerned and those among the evidence, each
// once.
func (g *gathering) addBatches(ctx context.Context, names []string) error {
	have := map[string]bool{}
	slices.Sort(g.epochs)
	for _, epoch := range g.epochs {
		open := func(ctx context.Context) (io.ReadCloser, string, error) {
			archive, err := g.store.OpenArchive(ctx, g.about.Namespace, epoch)
			if err != nil {
				return nil, "", err
			}
			return archive, path.Ext(archive.Key), nil
		}
		if err := g.addBatch(ctx, have, open); err != nil && !errors.Is(err, auditstore.ErrNotFound) {
			return err
		}
	}
	for _, name := range names {
		open := func(ctx context.Context) (io.ReadCloser, string, error) {
			r, _, err := g.store.OpenEvidence(ctx, g.about.Namespace, g.about.Epoch, name)
			return r, path.Ext(name), err
		}
		if err := g.addBatch(ctx, have, open); err != nil {
			return err
		}
	}
	for _, epoch := range g.epochs {
		if !slices.ContainsFunc(g.sources, func(s source) bool { return s.isOf(epoch) }) {
			g.missing = append(g.missing, fmt.Sprintf("any batch of epoch %d", epoch))
		}
	}
	return nil
}

// isOf reports whether the file is a batch of an epoch, by its names.
func (s source) isOf(epoch uint64) bool {
	return slices.ContainsFunc(s.Keys, func(key string) bool {
		name, err := fetcher.ReadKey(key)
		return err == nil && name.Epoch == epoch
	})
}

func (g *gathering) addBatch(ctx context.Context, have map[string]bool, open func(context.Context) (io.ReadCloser, string, error)) error {
	r, extension, err := open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, r)
	if err != nil {
		return err
	}
	hash := hex.EncodeToString(sum.Sum(nil))
	if have[hash] {
		return nil
	}
	have[hash] = true
	g.sources = append(g.sources, source{
		File{Path: path.Join(batchesDir, hash[:16]+extension), Size: size, SHA256: hash, Keys: g.keys[hash]},
		func(ctx context.Context) (io.ReadCloser, error) {
			r, _, err := open(ctx)
			return r, err
		},
	})
	return nil
}
