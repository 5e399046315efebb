package pauses

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
)

const (
	// Folder is the folder of a namespace in the audit store with the pauses, each target's by
	// itself. Nothing is removed there: the names begin with the time, and what is over is not
	// listed.
	Folder = "pauses"
	// forgetAfter is how long after a pause a cause is new again.
	forgetAfter = time.Hour
)

// Default is how long a target hears nothing more of a cause after the first message about it, the
// second and so on; the last stays. What comes meanwhile is in the next message.
var Default = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute}

// Pauses are those of one target about one namespace. They may be used by several goroutines.
type Pauses struct {
	records auditstore.Folder
	target  string
	lengths []time.Duration

	mu    sync.Mutex
	known map[string]pause // by cause
}

// pause is until when a target hears no more of a cause, and the how many-th pause that is.
type pause struct {
	until time.Time
	count int
}

// New returns the pauses of a target. Records is the Folder of a namespace; lengths are like
// Default.
func New(records auditstore.Folder, target string, lengths []time.Duration) *Pauses {
	return &Pauses{records: records, target: target, lengths: lengths, known: map[string]pause{}}
}

// name is the name of a pause's record.
func (p pause) name(cause string) string {
	return fmt.Sprintf("%013d-%d-%s", p.until.UnixMilli(), p.count, cause)
}

// parse reads the name of a pause's record.
func parse(name string) (cause string, p pause, ok bool) {
	until, rest, _ := strings.Cut(name, "-")
	count, cause, _ := strings.Cut(rest, "-")
	milli, err := strconv.ParseInt(until, 10, 64)
	n, countErr := strconv.Atoi(count)
	return cause, pause{time.UnixMilli(milli), n}, errors.Join(err, countErr) == nil && n >= 0 && cause != ""
}

// IsPaused reports whether the target hears no more of a cause for now.
func (s *Pauses) IsPaused(cause string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until := s.known[cause].until
	return now.Before(until) && until.Before(s.latest(now))
}

// latest is when no pause of now lasts any more. One that ends later was begun by a clock that was
// or is wrong, and does not count.
func (s *Pauses) latest(now time.Time) time.Time { return now.Add(2 * s.lengths[len(s.lengths)-1]) }

// Read learns which pauses others began.
func (s *Pauses) Read(ctx context.Context, now time.Time) error {
	s.mu.Lock()
	maps.DeleteFunc(s.known, func(_ string, p pause) bool { return now.After(p.until.Add(forgetAfter)) })
	s.mu.Unlock()
	for file, err := range s.records.Names(ctx, pause{until: now.Add(-forgetAfter)}.name(""), s.target) {
		if err != nil {
			return err
		}
		cause, p, ok := parse(strings.TrimSuffix(file, ".json"))
		s.mu.Lock()
		if ok && p.until.Before(s.latest(now)) && p.until.After(s.known[cause].until) {
			s.known[cause] = p
		}
		s.mu.Unlock()
	}
	return nil
}

// Begin begins the next pause of a cause, of which a message was sent. An error means that other
// processes do not learn of it.
func (s *Pauses) Begin(ctx context.Context, cause string) error {
	p := pause{}
	s.mu.Lock()
	if last, known := s.known[cause]; known {
		p.count = min(last.count+1, len(s.lengths)-1)
	}
	p.until = time.Now().Add(s.lengths[p.count])
	s.known[cause] = p
	s.mu.Unlock()
	_, err := s.records.Put(ctx, []byte("{}\n"), s.target, p.name(cause))
	return err
}
