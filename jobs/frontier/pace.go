package frontier

import "time"

const (
	// paceSpan is over how many epochs the cadence is measured.
	paceSpan = 16
	// A log that claims to publish more often, or more seldom, is treated as if it published so.
	minCadence, maxCadence = time.Second, 10 * time.Minute
)

// pace measures how often a log publishes, by the times that it gives its objects. They are the
// log's own claim, and serve within bounds.
type pace struct {
	epoch uint64 // where the measurement begins
	at    time.Time
	each  time.Duration // 0: not measured yet
}

// add takes in when an epoch was published; zero: the log doesn't say.
func (p *pace) add(epoch uint64, at time.Time) {
	switch {
	case at.IsZero() || p.epoch != 0 && epoch < p.epoch+paceSpan:
		return
	case p.epoch != 0:
		p.each = min(max(at.Sub(p.at)/time.Duration(epoch-p.epoch), minCadence), maxCadence)
	}
	p.epoch, p.at = epoch, at
}

// cadence returns what was measured, or what stands for it.
func (p *pace) cadence(otherwise time.Duration) time.Duration {
	if p.each == 0 {
		return max(otherwise, minCadence)
	}
	return p.each
}
