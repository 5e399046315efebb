package queue

// What the tests need of the inside.
const (
	MaxGenerations = maxGenerations
	MaxRetry       = maxRetry
)

// Generation returns the ID of a task's nth generation.
func Generation(t Task, n int) string { return t.generation(n) }

func SchedulersKey(namespace string) string { return schedulersKey(namespace) }
