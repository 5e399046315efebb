package jobs

import (
	"context"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/rs/zerolog"
)

func connect(t testing.TB, url string) *Redis {
	t.Helper()
	r, err := ConnectRedis(t.Context(), url, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func onEachRedis(t *testing.T, test func(t *testing.T, r *Redis)) {
	t.Helper()
	onEach(t, ConnectRedis, test)
}

// queueCounts returns the counts of the test's queue of one class.
func queueCounts(r *Redis, class Class) (QueueCounts, error) {
	all, err := r.ReadCounts(testNamespace)
	for _, c := range all {
		if c.Class == class {
			return c, err
		}
	}
	return QueueCounts{}, err
}

// judgedRuns tells an enqueuer of the verdicts in a store.
func judgedRuns(store *auditstore.Store) func(ctx context.Context, from, to uint64, visit func(from, to uint64) error) error {
	return func(ctx context.Context, from, to uint64, visit func(from, to uint64) error) error {
		return JudgedRuns(ctx, store, testNamespace, from, to, visit)
	}
}

// isJudged tells Retry of the verdicts in a store.
func isJudged(store *auditstore.Store) func(context.Context, uint64) (bool, error) {
	return func(ctx context.Context, epoch uint64) (bool, error) {
		return IsJudged(ctx, store, testNamespace, epoch)
	}
}
