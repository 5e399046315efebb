package alert

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
)

// defaultPauses are how long a target hears nothing more of a cause after the first message about
// it, the second and so on; the last stays. What comes meanwhile is in the next message.
var defaultPauses = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute}

// forgetPause is how long after a pause a cause is new again.
const forgetPause = time.Hour

// cause says what makes several alerts of a namespace one message: their kind, reason and status.
// It is a plain segment of a key.
func (a Alert) cause() string {
	cause := classOf(a.noticeName())
	if a.Reason != "" {
		cause += "." + a.Reason
	}
	return cause
}

// classOf is the part of a notice's name that all notices of its kind and status share.
func classOf(notice string) string {
	class, _, _ := strings.Cut(notice, ".")
	return class
}

// pause is until when a target hears no more of a cause, and the how many-th pause that is.
type pause struct {
	until time.Time
	count int
}

// folderOfPauses is the folder of a namespace in the audit store with the pauses, each target's by
// itself. Nothing is removed there: the names begin with the time, and what is over is not listed.
const folderOfPauses = "pauses"

// name is the name of a pause's record.
func (p pause) name(cause string) string {
	return fmt.Sprintf("%013d-%d-%s", p.until.UnixMilli(), p.count, cause)
}

// readPause reads the name of a pause's record.
func readPause(name string) (cause string, p pause, ok bool) {
	until, rest, _ := strings.Cut(name, "-")
	count, cause, _ := strings.Cut(rest, "-")
	milli, err := strconv.ParseInt(until, 10, 64)
	n, countErr := strconv.Atoi(count)
	return cause, pause{time.UnixMilli(milli), n}, errors.Join(err, countErr) == nil && n >= 0 && cause != ""
}

// isPaused reports whether the target hears no more of an alert's cause for now.
func (s *sender) isPaused(a Alert, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until := s.pauses[a.cause()].until
	return now.Before(until) && until.Before(s.latestPause(now))
}

// latestPause is when no pause of now lasts any more. One that ends later was begun by a clock that
// was or is wrong, and does not count.
func (s *sender) latestPause(now time.Time) time.Time {
	lengths := s.dispatcher.options.pauses
	return now.Add(2 * lengths[len(lengths)-1])
}

// isKnownPaused is isPaused for a notice, as far as it was loaded.
func (s *sender) isKnownPaused(name string, now time.Time) bool {
	a, ok := s.dispatcher.loaded(name)
	return ok && s.isPaused(a, now)
}

// readPauses learns which pauses others began. It is called under the claim.
func (s *sender) readPauses(ctx context.Context, now time.Time) error {
	latest := s.latestPause(now)
	s.mu.Lock()
	maps.DeleteFunc(s.pauses, func(_ string, p pause) bool { return now.After(p.until.Add(forgetPause)) })
	s.mu.Unlock()
	for file, err := range s.recordedPauses().Names(ctx, pause{until: now.Add(-forgetPause)}.name(""), s.target.Name) {
		if err != nil {
			return err
		}
		cause, p, ok := readPause(strings.TrimSuffix(file, ".json"))
		s.mu.Lock()
		if ok && p.until.Before(latest) && p.until.After(s.pauses[cause].until) {
			s.pauses[cause] = p
		}
		s.mu.Unlock()
	}
	return nil
}

// beginPause is called when a message about a cause was sent.
//
// Marks come before it. A crash between the two makes the next message about the cause come early,
// and loses nothing.
func (s *sender) beginPause(ctx context.Context, cause string) error {
	lengths, p := s.dispatcher.options.pauses, pause{}
	s.mu.Lock()
	if last, known := s.pauses[cause]; known {
		p.count = min(last.count+1, len(lengths)-1)
	}
	p.until = time.Now().Add(lengths[p.count])
	s.pauses[cause] = p
	s.mu.Unlock()
	ctx, cancel := detach(ctx, storeTimeout)
	defer cancel()
	_, err := s.recordedPauses().Put(ctx, []byte("{}\n"), s.target.Name, p.name(cause))
	return err
}

func (s *sender) recordedPauses() auditstore.Folder {
	return s.dispatcher.options.Store.Folder(s.dispatcher.namespace, folderOfPauses)
}
