package witness

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/transparency/witnesses"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// schema is the version of what is kept of a log.
const schema = 1

// maxState caps what is kept of a log: a note, in JSON.
const maxState = 4 * witnesses.MaxRequest

// state is the last tree of a log that the witness cosigned, or was about to:
//
//	_ktaudit/witness/{SHA-256 of the origin}/{generation, counting down}.json
type state struct {
	Schema int       `json:"schema"`
	Origin string    `json:"origin"`
	Size   int64     `json:"size"`
	Root   tlog.Hash `json:"root"`
	Note   string    `json:"note"` // as the log signed it

	generation uint64 // 0: none
}

func folderOf(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return hex.EncodeToString(sum[:])
}

// last returns the newest state on record, with an empty tree if there is none. It never goes back:
// what a process saw once it does not forget, whatever the audit store says.
func (w *Witness) last(ctx context.Context, l *log) (s state, err error) {
	known := l.newest() // before the store is asked: meanwhile it may go forward
	generation, data, err := w.files.ReadNewest(ctx, l.folder, ".json", maxState)
	if err != nil {
		return s, err
	}
	s = state{Schema: schema, Origin: l.origin, Root: emptyRoot}
	if generation > 0 {
		s, err = decode(data, l.nameOf(generation), l.origin, generation)
	}
	if err == nil && s.isBefore(known) {
		err = fmt.Errorf("the audit store went back: of %s it has a tree of %d entries (generation %d), and had one of %d (generation %d); nothing is cosigned until it is brought back",
			l.origin, s.Size, s.generation, known.Size, known.generation)
	}
	if err == nil {
		l.remember(s)
	}
	return s, err
}

// isBefore reports whether a state, read from the store later than another, is older all the same.
func (s state) isBefore(known state) bool {
	return s.generation < known.generation || s.Size < known.Size || s.generation > 0 && s.generation == known.generation && s.Root != known.Root
}

// newest is the newest state that this process saw.
func (l *log) newest() state {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known
}

func (l *log) remember(s state) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.generation > l.known.generation {
		l.known = s
	}
}

// nameOf is the name of a generation's state.
func (l *log) nameOf(generation uint64) string {
	return l.folder + "/" + auditstore.GenerationName(generation) + ".json"
}

func decode(data []byte, name, origin string, generation uint64) (s state, err error) {
	err = json.Unmarshal(data, &s)
	switch {
	case err != nil:
	case s.Schema != schema:
		err = fmt.Errorf("schema %d: this program knows schema %d", s.Schema, schema)
	case s.Origin != origin || s.Size < 1 || s.Size > maxSize:
		err = fmt.Errorf("a tree of %d entries of %.200q", s.Size, s.Origin)
	}
	if err != nil {
		return s, fmt.Errorf("%s/witness/%s, on %s: %w: %w", storeName, name, origin, auditstore.ErrCorrupt, err)
	}
	s.generation = generation
	return s, nil
}

// record makes a request's tree, which follows the last one, the new last one.
//
// This is the commit point: the generation after the last one, which is created once, says which
// tree follows it. It is created before anything is signed, so
//   - of several replicas that want another tree after the same one, one creates it, and the others
//     find it there and answer 409;
//   - a crash after it and before the answer leaves a tree on record that nobody has a cosignature
//     on. The log asks again with the size that it knows, gets a 409 with this one, and then a
//     cosignature: on this tree, or on one that extends it. A crash before it changes nothing.
//
// A replica that was away for so long that the generation was created, followed by others and swept
// meanwhile would create it a second time. It is found out in cosign, which looks once more for the
// newest generation: what was created so late is not it, nobody reads it, and nothing is signed.
func (w *Witness) record(ctx context.Context, l *log, last state, r request) (state, error) {
	next := state{Schema: schema, Origin: l.origin, Size: r.checkpoint.N, Root: r.checkpoint.Hash, Note: string(r.note)}
	data, err := json.Marshal(next)
	if err != nil {
		return state{}, err
	}
	generation := last.generation + 1
	name := l.nameOf(generation)
	data, err = w.files.Put(ctx, name, append(data, '\n'), maxState)
	if errors.Is(err, auditstore.ErrNotFound) {
		// Another one had it, and it was swept at once: there are many newer ones.
		return w.lost(ctx, l)
	}
	if err != nil {
		return state{}, err
	}
	recorded, err := decode(data, name, l.origin, generation)
	if err != nil {
		return state{}, err
	}
	if recorded.Size != next.Size || recorded.Root != next.Root {
		return w.lost(ctx, l)
	}
	return recorded, nil
}

// lost is the answer to a request that another one was quicker than.
func (w *Witness) lost(ctx context.Context, l *log) (state, error) {
	now, err := w.last(ctx, l)
	if err != nil {
		return state{}, err
	}
	return state{}, &ConflictError{Size: now.Size}
}

// cosign signs a request's tree, which is that of a state on record, as of a time at which it was
// the newest: there is no newer generation after that time was taken. A cosignature thus says what
// C2SP has it say, that there was no later tree then, however slow this process is.
func (w *Witness) cosign(ctx context.Context, l *log, s state, r request) ([]byte, error) {
	at := w.now()
	newest, err := w.files.Newest(ctx, l.folder)
	if err != nil {
		return nil, err
	}
	if newest != s.generation {
		_, err := w.lost(ctx, l)
		return nil, err
	}
	l.remember(s)
	signed, err := note.Sign(&note.Note{Text: string(r.text)}, w.signer.At(at))
	if err != nil {
		return nil, err
	}
	w.files.Sweep(ctx, l.folder, s.generation)
	return bytes.TrimPrefix(signed, append(r.text, '\n')), nil
}
