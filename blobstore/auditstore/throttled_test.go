package auditstore

import (
	"fmt"
	"sync"
	"testing"

	"github.com/ktaudit/ktaudit/internal/testservers"
)

// Some services take one write of a key a second. Processes that start together all write the
// probe: they wait for each other, and nobody is told that the store cannot be written.
func TestOneWriteASecondIsWaitedFor(t *testing.T) {
	t.Parallel()
	server := testservers.Faulty(t, testservers.S3(t), 1)
	server.Be(testservers.OneWriteASecond)
	url := server.BucketURL("throttled")
	var starting sync.WaitGroup
	for i := range 4 {
		s := at(url)(t)
		starting.Go(func() {
			if err := s.CheckWritable(t.Context()); err != nil {
				t.Errorf("process %d: %v", i, err)
			}
			if _, _, err := s.PutVerdict(t.Context(), verdictBy(uint64(i), fmt.Sprint("process ", i))); err != nil {
				t.Errorf("process %d: %v", i, err)
			}
		})
	}
	starting.Wait()
	if server.Throttled() == 0 {
		t.Error("nobody had to wait")
	}
}
