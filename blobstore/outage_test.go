package blobstore

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/ktaudit/ktaudit/internal/testservers"
)

// TestS3OutagesPass kills the server under its writers. Whoever is refused tries again, and in the end all agree.
func TestS3OutagesPass(t *testing.T) {
	t.Parallel()
	server := testservers.S3(t)
	url := server.BucketURL("outage")
	const writers, epochs, outages = 3, 60, 3
	due := make(chan struct{}, outages)
	var recorded [writers][epochs]Verdict
	var wg sync.WaitGroup
	for w := range writers {
		s := at(url)(t)
		wg.Go(func() {
			for epoch := range epochs {
				if w == 0 && epoch%(epochs/outages) == 0 {
					due <- struct{}{}
				}
				for t.Context().Err() == nil {
					v, _, err := s.PutVerdict(t.Context(), verdict(uint64(epoch), fmt.Sprint("writer ", w)))
					if err == nil {
						recorded[w][epoch] = v
						break
					}
					if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNotFound) {
						t.Errorf("an outage is taken for something that lasts: %v", err)
						return
					}
				}
			}
		})
	}
	for range outages {
		<-due
		server.Kill()
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	s := at(url)(t)
	for epoch := range epochs {
		want, err := s.Verdict(t.Context(), namespace, uint64(epoch))
		if err != nil {
			t.Fatal(err)
		}
		for w := range writers {
			if !reflect.DeepEqual(recorded[w][epoch], want) {
				t.Errorf("epoch %d: writer %d was told %q, on record is %q", epoch, w, recorded[w][epoch].Software, want.Software)
			}
		}
	}
}
