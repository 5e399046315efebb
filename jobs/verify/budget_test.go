package verify

import (
	"os"
	"regexp"
	"strconv"
	"testing"
)

// What the shipped container may use is enough for the worst batch that the shipped limits allow:
// whatever its size, it is judged within the budget or not at all.
func TestShippedLimits(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../deploy/kubernetes/base/worker.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`limits: \{memory: (\d+)Gi[,}]`).FindSubmatch(text)
	if found == nil {
		t.Fatal("the worker has no memory limit")
	}
	gib, _ := strconv.ParseInt(string(found[1]), 10, 64)
	container := gib << 30
	budget, heap := budgetOf(container), heapLimitOf(container)
	// What a process has beside batches, measured idle at 30 MB, and with 8 epochs at 60 MB.
	const besides = 256 << 20
	if budget+besides > heap || heap >= container {
		t.Errorf("of %d bytes, the budget is %d and the heap's limit %d", container, budget, heap)
	}
	// The largest batch of a public log, in order or not, fits.
	if need := memoryFor(292<<20, usualWindow); need > budget {
		t.Errorf("a batch of 292 MB takes %d bytes of %d", need, budget)
	}
	// Many slow ones at once fit, of several logs.
	if shared := budget / 8; 8*memoryWhenSmall > shared {
		t.Errorf("8 small ones take more than a share of %d", shared)
	}
}
