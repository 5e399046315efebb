package transparency

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
)

const (
	// MaxRecorded is how many events one call of Record writes. Each waits for the one before.
	MaxRecorded = 500
	// maxEvents is how many events a namespace can have.
	maxEvents = 1_000_000
	// maxUnreadable is how many objects that cannot be read one call names.
	maxUnreadable = 10
	// shardsAtOnce is how many shards with absences, or with overrulings, one call looks through.
	shardsAtOnce = 8
)

// Recorder finds what is on record and no event yet, and makes it one. Any number of processes may,
// each with a Recorder of its own, which remembers what it has read.
type Recorder struct {
	store     *auditstore.Store
	namespace string
	files     auditstore.Files
	incident  func(data []byte) bool

	mu       sync.Mutex
	next     uint64            // the number of the first event that was not read
	known    map[objectID]bool // what the events before are about, or what will never be an event
	history  string            // the newest that was gone through
	absences shardCursor
	overrule shardCursor

	unreadable []error // objects that the present call could not read; some of them
}

// objectID stands for the key of an object.
type objectID [16]byte

func idOf(object string) objectID {
	hash := sha256.Sum256([]byte(object))
	return objectID(hash[:16])
}

// NewRecorder returns the recorder of a namespace. incident says, given an open incident as it is
// stored, whether it is to be an event; nil: all are.
func NewRecorder(store *auditstore.Store, namespace string, incident func(data []byte) bool) *Recorder {
	return &Recorder{store: store, namespace: namespace, files: store.Files(namespace, folder), incident: incident, known: map[objectID]bool{}}
}

// Record writes the events that are due, MaxRecorded at most, and returns how many there were: if
// so many, there are more. What cannot be read keeps nothing else from being recorded.
//
// An event is created once, under the number after the last. Whoever creates one has read all
// before it, and none of them is about the same object; so no two events are. A crash before it
// leaves nothing, and whoever comes next finds the same object without an event. Of two that create
// the same number one wins, and the other reads what that is before it tries the next.
func (r *Recorder) Record(ctx context.Context) (recorded int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.catchUp(ctx); err != nil {
		return 0, err
	}
	r.unreadable = nil
	var errs []error
	for _, find := range []func(context.Context, func(Event) error) error{
		r.findOverrulings, r.findIncidents, r.findAcknowledgements, r.findSeals, r.findLateVerdicts,
	} {
		err := find(ctx, func(e Event) error {
			if recorded == MaxRecorded {
				return errEnough
			}
			created, err := r.create(ctx, e)
			if created {
				recorded++
			}
			return err
		})
		if ctx.Err() != nil || errors.Is(err, errEnough) {
			return recorded, ctx.Err()
		}
		errs = append(errs, err)
	}
	return recorded, errors.Join(append(errs, r.unreadable...)...)
}

var errEnough = errors.New("enough events for one call")

// catchUp reads the events that were created since.
func (r *Recorder) catchUp(ctx context.Context) error {
	for window := 1; ; window = min(2*window, 1024) {
		events, errs := make([]Event, window), make([]error, window)
		_ = parallel(ctx, window, func(ctx context.Context, i int) error {
			events[i], _, errs[i] = readEvent(ctx, r.files, r.namespace, r.next+uint64(i))
			return nil
		})
		for i, err := range errs {
			if errors.Is(err, auditstore.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			r.known[idOf(events[i].Object)] = true
			r.next++
		}
	}
}

// create makes an event the next one, unless another process has recorded the same meanwhile.
func (r *Recorder) create(ctx context.Context, e Event) (created bool, err error) {
	for !r.known[idOf(e.Object)] {
		if r.next >= maxEvents {
			return false, fmt.Errorf("%s has %d events, and no room for more", r.namespace, maxEvents)
		}
		e.Schema, e.Namespace, e.Number, e.RecordedAt = verdict.Schema, r.namespace, r.next, time.Now().UTC().Truncate(time.Second)
		data, err := e.encode()
		if err != nil {
			return false, fmt.Errorf("event on %s of %s: %w", e.Object, r.namespace, err)
		}
		on, err := r.files.Put(ctx, eventName(e.Number), data, maxEventBytes)
		if err != nil {
			return false, err
		}
		read, err := eventAt(on, r.namespace, e.Number)
		if err != nil {
			return false, err
		}
		r.known[idOf(read.Object)] = true
		r.next++
		created = string(on) == string(data)
	}
	return created, nil
}

// add makes an event of an object that is not known yet, given its bytes.
func (r *Recorder) add(e Event, add func(Event) error, read func() ([]byte, error)) error {
	if r.known[idOf(e.Object)] {
		return nil
	}
	data, err := read()
	switch {
	case errors.Is(err, auditstore.ErrNotFound):
		return nil // a condition that ended meanwhile
	case errors.Is(err, auditstore.ErrCorrupt):
		if len(r.unreadable) < maxUnreadable {
			r.unreadable = append(r.unreadable, err)
		}
		return nil
	case err != nil:
		return err
	}
	if e.Kind == Incident && r.incident != nil && !r.incident(data) {
		r.known[idOf(e.Object)] = true
		return nil
	}
	e.SHA256 = fmt.Sprintf("%x", sha256.Sum256(data))
	return add(e)
}

func (r *Recorder) findIncidents(ctx context.Context, add func(Event) error) error {
	incidents := r.store.Incidents(r.namespace)
	for name, err := range incidents.OpenNames(ctx) {
		if err == nil {
			err = r.add(Event{Kind: Incident, Object: "incidents/open/" + name + ".json"}, add, func() ([]byte, error) { return incidents.Incident(ctx, name) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Recorder) findAcknowledgements(ctx context.Context, add func(Event) error) error {
	incidents := r.store.Incidents(r.namespace)
	for name, err := range incidents.AcknowledgedNames(ctx) {
		if err == nil {
			e := Event{Kind: Acknowledgement, Object: "incidents/acknowledged/" + name + ".json"}
			err = r.add(e, add, func() ([]byte, error) { return incidents.Acknowledgement(ctx, name) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// findSeals goes by the history, which says which seals are on record and what their hashes are.
func (r *Recorder) findSeals(ctx context.Context, add func(Event) error) error {
	newest := ""
	for name, err := range r.store.Folder(r.namespace, "history").Names(ctx, "") {
		if err != nil {
			return err
		}
		newest = name
		break
	}
	if newest == r.history {
		return nil
	}
	h, err := r.store.History(ctx, r.namespace)
	if err != nil {
		return err
	}
	for shard, hash := range sealsOf(h) {
		e := Event{Kind: Seal, Shard: &shard, Object: sealObject(shard), SHA256: hash}
		if r.known[idOf(e.Object)] {
			continue
		}
		if err := add(e); err != nil {
			return err
		}
	}
	r.history = newest
	return nil
}

// sealsOf yields the shards that are sealed and the hashes of their seals.
func sealsOf(h verdict.History) func(yield func(uint64, string) bool) {
	return func(yield func(uint64, string) bool) {
		for _, span := range h.Spans {
			for i, hash := range span.Seals {
				if !yield(span.First()+uint64(i), hash) {
					return
				}
			}
		}
	}
}

func sealObject(shard uint64) string { return "seals/" + verdict.ShardName(shard) + ".json" }

func objectOf(kind string, epoch uint64) string {
	return kind + "/" + verdict.ShardName(epoch/verdict.EpochsPerShard) + "/" + verdict.EpochName(epoch)
}

func (r *Recorder) findOverrulings(ctx context.Context, add func(Event) error) error {
	overruled := r.store.Folder(r.namespace, "overruled")
	shards, err := r.overrule.next(overruled.Names(ctx, ""))
	if err != nil {
		return err
	}
	for _, shard := range shards {
		for name, err := range overruled.Names(ctx, "", verdict.ShardName(shard)) {
			if err != nil {
				return err
			}
			digits, number, _ := strings.Cut(strings.TrimSuffix(name, ".json"), "-")
			epoch, isEpoch := verdict.ParseEpochName(digits)
			n, isNumber := verdict.ParsePadded(number, 3)
			if !isEpoch || !isNumber || n == 0 || epoch/verdict.EpochsPerShard != shard {
				continue
			}
			e := Event{Kind: Overruling, Epoch: &epoch, Object: fmt.Sprintf("%s-%03d.json", objectOf("overruled", epoch), n)}
			err = r.add(e, add, func() ([]byte, error) {
				all, err := r.store.OverrulingBytes(ctx, r.namespace, epoch)
				if err == nil && uint64(len(all)) < n {
					err = auditstore.ErrNotFound
				}
				if err != nil {
					return nil, err
				}
				return all[n-1], nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// findLateVerdicts finds verdicts on epochs whose entry says that they were never published.
func (r *Recorder) findLateVerdicts(ctx context.Context, add func(Event) error) error {
	shards, err := r.absences.next(r.files.Names(ctx, absent, ""))
	if err != nil {
		return err
	}
	log := Open(r.store, r.namespace, Verdicts)
	for _, shard := range shards {
		judged, err := r.store.Epochs(ctx, r.namespace, shard)
		if err != nil {
			return err
		}
		for name, err := range r.files.Names(ctx, absent+"/"+verdict.ShardName(shard), "") {
			if err != nil {
				return err
			}
			epoch, ok := verdict.ParseEpochName(strings.TrimSuffix(name, ".json"))
			if !ok || epoch/verdict.EpochsPerShard != shard {
				continue
			}
			if _, isJudged := slices.BinarySearch(judged, epoch); !isJudged {
				continue
			}
			e := Event{Kind: LateVerdict, Epoch: &epoch, Object: objectOf("verdicts", epoch) + ".json"}
			if r.known[idOf(e.Object)] {
				continue
			}
			isAbsent, settled, err := log.isEntryAbsent(ctx, epoch)
			if err == nil && settled && !isAbsent {
				r.known[idOf(e.Object)] = true // the verdict is the entry
			}
			if err == nil && isAbsent {
				err = r.add(e, add, func() ([]byte, error) { return r.store.VerdictBytes(ctx, r.namespace, epoch) })
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// isEntryAbsent reports whether an epoch has its entry, and whether that is an absence, as the
// tiles say that are on record.
func (l *Log) isEntryAbsent(ctx context.Context, epoch uint64) (isAbsent, settled bool, err error) {
	first, err := l.First(ctx)
	if errors.Is(err, ErrNoCheckpoint) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	c, err := l.Newest(ctx)
	if errors.Is(err, ErrNoCheckpoint) || err == nil && (epoch < first || epoch-first >= uint64(c.N)) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	entry, _, err := l.Entry(ctx, c.Tree, int64(epoch-first))
	if err != nil {
		return false, false, err
	}
	_, errAbsence := verdict.DecodeAbsence(entry)
	return errAbsence == nil, true, nil
}

// shardCursor goes through the shards of a folder, some with each call, and begins again after the
// last.
type shardCursor struct{ after uint64 }

func (c *shardCursor) next(names func(yield func(string, error) bool)) (shards []uint64, err error) {
	var all []uint64
	for name, err := range names {
		if err != nil {
			return nil, err
		}
		name, isFolder := strings.CutSuffix(name, "/")
		if shard, ok := verdict.ParseShardName(name); ok && isFolder {
			all = append(all, shard)
		}
	}
	i, found := slices.BinarySearch(all, c.after)
	if found {
		i++
	}
	if i == len(all) || c.after == 0 {
		i = 0
	}
	shards = all[i:min(i+shardsAtOnce, len(all))]
	if len(shards) > 0 {
		c.after = shards[len(shards)-1]
	}
	return shards, nil
}
