package auditstore

import (
	"context"
	"io"

	"github.com/ktaudit/ktaudit/verdict"
)

// MaxEvidenceNames is how many pieces of evidence on one epoch are listed.
const MaxEvidenceNames = 1000

// EvidenceFolder is where the evidence on an epoch lies, for people to read.
func EvidenceFolder(namespace string, epoch uint64) (string, error) {
	key, err := epochKey(namespace, evidence, epoch)
	return key + "/", err
}

// EvidenceNames returns the names of the evidence on an epoch, in order, at most MaxEvidenceNames,
// by one listing.
func (s *Store) EvidenceNames(ctx context.Context, namespace string, epoch uint64) ([]string, error) {
	key, err := epochKey(namespace, evidence, epoch)
	if err != nil {
		return nil, err
	}
	var names []string
	for name, err := range s.objects.List(ctx, key+"/", "") {
		if err != nil {
			return nil, err
		}
		if verdict.CheckName("evidence name", name) != nil {
			continue // nothing that was put there as evidence
		}
		if names = append(names, name); len(names) == MaxEvidenceNames {
			break
		}
	}
	return names, nil
}

// EvidenceWriter is ArchiveWriter for a piece of evidence of any size, such as a second batch.
func (s *Store) EvidenceWriter(ctx context.Context, namespace string, epoch uint64, name string) (*ArchiveWriter, error) {
	key, err := evidenceKey(namespace, epoch, name)
	if err != nil {
		return nil, err
	}
	return s.writer(ctx, key)
}

// OpenEvidence opens a piece of evidence of any size; ErrNotFound if there is none of that name.
// The caller closes it.
func (s *Store) OpenEvidence(ctx context.Context, namespace string, epoch uint64, name string) (io.ReadCloser, int64, error) {
	key, err := evidenceKey(namespace, epoch, name)
	if err != nil {
		return nil, 0, err
	}
	return s.open(ctx, key)
}

// VerdictBytes returns the object that says what was concluded about an epoch, as it is stored;
// ErrNotFound if there is none.
func (s *Store) VerdictBytes(ctx context.Context, namespace string, epoch uint64) ([]byte, error) {
	key, err := jsonKey(namespace, verdicts, epoch)
	if err != nil {
		return nil, err
	}
	return s.get(ctx, key, verdict.MaxBytes)
}

// SealBytes returns the object that is a shard's seal, as it is stored; ErrNotFound if there is
// none.
func (s *Store) SealBytes(ctx context.Context, namespace string, shard uint64) ([]byte, error) {
	key, err := sealKey(namespace, shard)
	if err != nil {
		return nil, err
	}
	return s.get(ctx, key, maxSealBytes)
}
