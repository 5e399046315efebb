package simlog

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
)

// Options say what log to simulate. Two logs of equal Options are equal to the byte. The zero value
// is a usable small log without signed digests; a field's zero means the default in parentheses, or
// the one named beside it.
type Options struct {
	Configuration validator.Configuration // whatsapp_v1
	Seed          uint64                  // 0 is a seed like any other

	// First is the first epoch published (1). A log that starts later has a past: its first load is
	// then the epoch before First, which is not published.
	First uint64
	// Epochs is how many epochs Write publishes (50). Next does not stop there, unless the
	// directory is a large one.
	Epochs uint64

	// FirstLoad is how many leaves the first load inserts (50); with First = 1 it is epoch 1.
	FirstLoad int
	// Insertions is how many leaves each later epoch inserts (20).
	Insertions int
	// RotationShare is the share of these leaves, 0 to 1, that belong to key rotations: half of
	// them mark an old version stale, half of them are the new versions.
	RotationShare float64

	// DirectorySize is how many leaves there are before First, in place of a first load. Such a
	// directory is not held in memory: memory and time depend on Epochs × Insertions only. An epoch
	// of Messenger's size is 300,000 insertions into 1<<32 leaves.
	DirectorySize uint64

	Compression Compression // None

	// SigningKey signs each epoch's digest; without one there are no signed digests.
	SigningKey  ed25519.PrivateKey
	Ciphersuite uint32        // signature.CiphersuiteProtobuf
	Namespace   string        // "example.key-transparency.v1"
	Start       time.Time     // the timestamp of the epoch before First: 2026-01-01
	Interval    time.Duration // between timestamps: 2 minutes
	// Now, if it is set, gives the timestamps, in place of Start and Interval: for a log that
	// publishes as time goes by. Signed digests of equal logs then differ.
	Now func() time.Time

	// Tamper makes single epochs wrong. All other epochs stay right.
	Tamper map[uint64]Kind
}

// withDefaults returns o with every zero replaced, or says what cannot be simulated.
func (o Options) withDefaults() (Options, error) {
	if o.Configuration == (validator.Configuration{}) {
		o.Configuration = validator.WhatsAppV1()
	}
	if o.DirectorySize > 0 && o.FirstLoad > 0 {
		return o, errors.New("a log has a first load or a directory size, not both")
	}
	defaultTo(&o.First, 1)
	defaultTo(&o.Epochs, 50)
	defaultTo(&o.Insertions, 20)
	defaultTo(&o.Ciphersuite, signature.CiphersuiteProtobuf)
	defaultTo(&o.Namespace, "example.key-transparency.v1")
	defaultTo(&o.Start, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	defaultTo(&o.Interval, 2*time.Minute)
	if o.DirectorySize == 0 {
		defaultTo(&o.FirstLoad, 50)
	}
	return o, o.validate()
}

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o Options) validate() error {
	const most = 1 << 24 // leaves; more than any proof has
	switch {
	case o.First > math.MaxUint64-o.Epochs:
		return fmt.Errorf("%d epochs from %d on: past the last epoch number", o.Epochs, o.First)
	case o.FirstLoad < 0 || o.FirstLoad > most:
		return fmt.Errorf("first load of %d leaves: want 0 to %d", o.FirstLoad, most)
	case o.Insertions < 0 || o.Insertions > most:
		return fmt.Errorf("%d insertions: want 1 to %d", o.Insertions, most)
	case o.DirectorySize > 0 && o.Epochs > most/uint64(o.Insertions):
		return fmt.Errorf("%d epochs of %d insertions into a large directory: want at most %d insertions together", o.Epochs, o.Insertions, most)
	case !(o.RotationShare >= 0 && o.RotationShare <= 1):
		return fmt.Errorf("rotation share %v: want 0 to 1", o.RotationShare)
	case o.Start.UnixMilli() < 0 || o.Interval < 0:
		return fmt.Errorf("timestamps from %v on every %v: want none before 1970 and none going backwards", o.Start, o.Interval)
	case o.Compression < None || o.Compression > Mixed:
		return fmt.Errorf("unknown compression %d", o.Compression)
	}
	for epoch, kind := range o.Tamper {
		if err := o.validateTamper(epoch, kind); err != nil {
			return fmt.Errorf("epoch %d cannot be tampered with by %s: %w", epoch, kind, err)
		}
	}
	return nil
}

func (o Options) validateTamper(epoch uint64, kind Kind) error {
	outcome, ok := expected[kind]
	switch {
	case !ok:
		return errors.New("unknown kind")
	case epoch < o.First || epoch-o.First >= o.Epochs:
		return fmt.Errorf("the log has epochs %d to %d", o.First, o.First+o.Epochs-1)
	case outcome.signed && o.SigningKey == nil:
		return errors.New("the log has no signing key")
	case outcome.needsPast && epoch == 1 && o.DirectorySize == 0:
		return errors.New("the directory is empty before it")
	}
	return nil
}

// timestamp is what epoch is signed with, in milliseconds since 1970.
func (o Options) timestamp(epoch uint64) uint64 {
	if o.Now != nil {
		return uint64(o.Now().UnixMilli())
	}
	since := epoch - (o.First - 1)
	return uint64(o.Start.UnixMilli()) + since*uint64(o.Interval.Milliseconds())
}
