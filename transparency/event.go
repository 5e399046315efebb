package transparency

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
)

// EventKind says what an Event is about.
type EventKind string

const (
	Overruling      EventKind = "overruling"      // a later verdict counts
	Incident        EventKind = "incident"        // something is wrong with the log
	Acknowledgement EventKind = "acknowledgement" // a person has dealt with an incident
	Seal            EventKind = "seal"            // a shard was sealed
	LateVerdict     EventKind = "late_verdict"    // an epoch that was recorded as absent was judged
)

// Event says that an object came on record which is no entry of the verdict log. The event log has
// them in the order in which they were recorded.
type Event struct {
	Schema    int       `json:"schema"`
	Namespace string    `json:"namespace"`
	Number    uint64    `json:"number"` // its index in the event log
	Kind      EventKind `json:"kind"`
	// Epoch is that of an overruling or a late verdict, Shard that of a seal.
	Epoch *uint64 `json:"epoch,omitempty"`
	Shard *uint64 `json:"shard,omitempty"`
	// Object is the object's key below the namespace, SHA256 the hash of its bytes, hexadecimal.
	Object     string    `json:"object"`
	SHA256     string    `json:"sha256"`
	RecordedAt time.Time `json:"recorded_at"`
}

// maxEventBytes caps an event, most of which is the key of an object.
const maxEventBytes = 4 << 10

// event is the folder of events, {shard}/{number}.json, numbered from 0.
const event = "event"

func eventName(number uint64) string {
	return event + "/" + verdict.ShardName(number/verdict.EpochsPerShard) + "/" + verdict.EpochName(number) + ".json"
}

func readEvent(ctx context.Context, files auditstore.Files, namespace string, number uint64) (Event, []byte, error) {
	data, err := files.Get(ctx, eventName(number), maxEventBytes)
	if err != nil {
		return Event{}, nil, err
	}
	e, err := eventAt(data, namespace, number)
	return e, data, err
}

func eventAt(data []byte, namespace string, number uint64) (Event, error) {
	e, err := DecodeEvent(data)
	if err == nil && (e.Namespace != namespace || e.Number != number) {
		err = fmt.Errorf("event %d of %q", e.Number, e.Namespace)
	}
	if err != nil && !errors.Is(err, verdict.ErrNewerSchema) {
		err = fmt.Errorf("%w: %w", auditstore.ErrCorrupt, err)
	}
	if err != nil {
		return Event{}, fmt.Errorf("event %d of %s: %w", number, namespace, err)
	}
	return e, nil
}

// Validate returns why e may not be recorded, or nil.
func (e Event) Validate() error {
	hasEpoch, hasShard := e.Epoch != nil, e.Shard != nil
	switch e.Kind {
	case Overruling, LateVerdict:
		hasEpoch = !hasEpoch
	case Seal:
		hasShard = !hasShard
	case Incident, Acknowledgement:
	default:
		return fmt.Errorf("an event of kind %.40q", e.Kind)
	}
	if err := verdict.CheckDigest(e.SHA256); err != nil {
		return err
	}
	switch {
	case hasEpoch || hasShard || e.Epoch != nil && *e.Epoch > verdict.MaxEpoch || e.Shard != nil && *e.Shard > verdict.MaxEpoch/verdict.EpochsPerShard:
		return fmt.Errorf("an event of kind %s with the wrong epoch or shard", e.Kind)
	case e.Object == "" || len(e.Object) > 1000:
		return fmt.Errorf("an object's key of %d bytes", len(e.Object))
	case e.RecordedAt.IsZero() || e.RecordedAt.Location() != time.UTC:
		return errors.New("the time is missing, or not in UTC")
	}
	return verdict.CheckKey(e.Namespace, e.Number)
}

func (e Event) encode() ([]byte, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	data, err := json.Marshal(e)
	return append(data, '\n'), err
}

// DecodeEvent reads an entry of the event log.
func DecodeEvent(data []byte) (Event, error) {
	if len(data) > maxEventBytes {
		return Event{}, fmt.Errorf("an event of %d bytes", len(data))
	}
	var e Event
	if err := decode(data, &e, &e.Schema); err != nil {
		return Event{}, err
	}
	return e, e.Validate()
}
