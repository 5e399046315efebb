package auditstore

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/verdict"
)

// TestS3OutagesPass kills the server under its writers. Whoever is refused tries again, and in the
// end all agree.
func TestS3OutagesPass(t *testing.T) {
	t.Parallel()
	server := testservers.S3(t)
	url := server.BucketURL("outage")
	const writers, epochs, outages = 3, 60, 3
	due := make(chan struct{}, outages)
	var recorded [writers][epochs]verdict.Verdict
	var wg sync.WaitGroup
	for w := range writers {
		s := at(url)(t)
		wg.Go(func() {
			for epoch := range epochs {
				if w == 0 && epoch%(epochs/outages) == 0 {
					due <- struct{}{}
				}
				for t.Context().Err() == nil {
					v, _, err := s.PutVerdict(t.Context(), verdictBy(uint64(epoch), fmt.Sprint("writer ", w)))
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

// Writes that fail leave nothing, and can be made again.
func TestAzureOutagePasses(t *testing.T) {
	t.Parallel()
	server := testservers.Azure(t)
	s := at(server.ContainerURL("outage"))(t)
	put(t, s, verdictBy(1, "w"))
	w, err := s.ArchiveWriter(t.Context(), namespace, 2, "")
	must(t, err)
	server.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, _, err := s.PutVerdict(ctx, verdictBy(2, "w")); err == nil {
		t.Error("a verdict is recorded nowhere")
	}
	if err := archive(ctx, s, 1, "", []byte("one")); err == nil {
		t.Error("a batch is archived nowhere")
	}
	w.Abort()
	must(t, server.Start())
	wantNoArchive(t, s, 1)
	wantNoArchive(t, s, 2)
	must(t, archive(t.Context(), s, 1, "", []byte("two")))
	for epoch := uint64(1); epoch <= 2; epoch++ {
		if _, created := put(t, s, verdictBy(epoch, "w")); !created {
			t.Errorf("epoch %d has another verdict", epoch)
		}
	}
}
