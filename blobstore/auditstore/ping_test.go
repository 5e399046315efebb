package auditstore

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ktaudit/ktaudit/internal/testservers"
)

func TestPing(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		s, err := Open(t.Context(), "mem://")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s.Ping(t.Context()) == nil {
			t.Error("a closed store answers")
		}
	})
	t.Run("disk", func(t *testing.T) {
		t.Parallel()
		folder := filepath.Join(t.TempDir(), "audit")
		s, err := Open(t.Context(), "file://"+folder+"?create_dir=true")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		if err := os.Remove(folder); err != nil {
			t.Fatal(err)
		}
		if s.Ping(t.Context()) == nil {
			t.Error("a store whose folder is gone answers")
		}
	})
	t.Run("S3", func(t *testing.T) {
		t.Parallel()
		server := testservers.S3(t)
		s := at(server.BucketURL("ping"))(t)
		if err := s.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		server.Stop()
		if s.Ping(t.Context()) == nil {
			t.Error("a store that is down answers")
		}
	})
}
