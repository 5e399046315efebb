package simlog

import (
	"testing"

	"gocloud.dev/blob/fileblob"
)

// BenchmarkMessengerSize writes one epoch of the size that Messenger publishes every two minutes to
// a local disk.
func BenchmarkMessengerSize(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		bucket, err := fileblob.OpenBucket(b.TempDir(), &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
		if err != nil {
			b.Fatal(err)
		}
		s, err := Write(b.Context(), bucket, nil, Options{Epochs: 1, Insertions: 300_000, DirectorySize: 1 << 32}, nil)
		if err != nil {
			b.Fatal(err)
		}
		bucket.Close()
		b.SetBytes(s.Bytes)
		b.ReportMetric(float64(s.Inserted), "inserted")
		b.ReportMetric(float64(s.Unchanged), "unchanged")
	}
}
