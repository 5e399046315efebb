package auditstore

import "testing"

// BenchmarkDisk writes and reads verdicts on local disk: `put` is mostly what the disk takes to
// sync.
func BenchmarkDisk(b *testing.B) {
	s, err := Open(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	epoch := uint64(0)
	b.Run("put", func(b *testing.B) {
		for b.Loop() {
			epoch++
			if _, created, err := s.PutVerdict(b.Context(), verdictBy(epoch, "w")); err != nil || !created {
				b.Fatal(created, err)
			}
		}
	})
	b.Run("get", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Verdict(b.Context(), namespace, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Epochs(b.Context(), namespace, 0); err != nil {
				b.Fatal(err)
			}
		}
	})
}
