package queue

import "testing"

// Whoever can reach Redis can put anything on a queue.
func FuzzTask(f *testing.F) {
	for _, seed := range []string{
		`{"namespace":"test.key-transparency.v1","epoch":17}`, `{"namespace":"x","epoch":0}`, `{"epoch":1e3}`, `[]`, ``,
		`{"namespace":"x","epoch":18446744073709551615}`, `{"namespace":"x","epoch":18446744073709551616}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		task, err := ParseTask(payload)
		if err != nil {
			if len(err.Error()) > 2000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		for n := range 2 {
			if epoch, ok := EpochOfID(task.Namespace, task.generation(n)); !ok || epoch != task.Epoch {
				t.Errorf("ID %q is of epoch %d, %v", task.generation(n), epoch, ok)
			}
		}
	})
}
