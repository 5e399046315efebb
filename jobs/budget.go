package jobs

// Budget bounds the memory of all epochs in flight in a process: an epoch waits until its estimate fits. One that is bigger than
// the whole budget runs alone.
type Budget struct{}

// NewBudget returns a budget of so many bytes. 0 means half of the memory of this machine or container.
func NewBudget(bytes int64) *Budget { return &Budget{} }
