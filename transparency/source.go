package transparency

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
)

// start says where the verdict log begins.
type start struct {
	Schema    int    `json:"schema"`
	Namespace string `json:"namespace"`
	First     uint64 `json:"first"` // epoch of entry 0
}

const (
	startName     = "start.json"
	maxStartBytes = 4 << 10
)

// Begin says, once and for ever, which epoch entry 0 of the verdict log is of, and returns what is
// on record: the caller's, or that of whoever was first.
func (l *Log) Begin(ctx context.Context, first uint64) (uint64, error) {
	if err := verdict.CheckKey(l.namespace, first); err != nil {
		return 0, err
	}
	data, err := json.Marshal(start{verdict.Schema, l.namespace, first})
	if err != nil {
		return 0, err
	}
	data, err = l.files.Put(ctx, startName, append(data, '\n'), maxStartBytes)
	if err != nil {
		return 0, err
	}
	return l.readStart(data)
}

// First returns the epoch of entry 0 of the verdict log; ErrNoCheckpoint while it was not begun. Of
// the event log it is 0.
func (l *Log) First(ctx context.Context) (uint64, error) {
	l.mu.Lock()
	first := l.first
	l.mu.Unlock()
	switch {
	case l.kind == Events:
		return 0, nil
	case first != nil:
		return *first, nil
	}
	data, err := l.files.Get(ctx, startName, maxStartBytes)
	if errors.Is(err, auditstore.ErrNotFound) {
		return 0, fmt.Errorf("%s of %s: %w", l.kind, l.namespace, ErrNoCheckpoint)
	}
	if err != nil {
		return 0, err
	}
	return l.readStart(data)
}

func (l *Log) readStart(data []byte) (uint64, error) {
	var s start
	err := decode(data, &s, &s.Schema)
	if err == nil && s.Namespace != l.namespace {
		err = fmt.Errorf("the start of %q", s.Namespace)
	}
	if err == nil {
		err = verdict.CheckKey(s.Namespace, s.First)
	}
	if err != nil {
		return 0, fmt.Errorf("%s of %s: %w: %w", startName, l.namespace, auditstore.ErrCorrupt, err)
	}
	l.mu.Lock()
	l.first = &s.First
	l.mu.Unlock()
	return s.First, nil
}

// source reads what the entries of a log are made from.
type source struct {
	log   *Log
	first uint64
}

func (l *Log) source(ctx context.Context) (source, error) {
	first, err := l.First(ctx)
	return source{l, first}, err
}

// entry returns what entry i is made from, as it is on record: that of an absence if asked for.
func (s source) entry(ctx context.Context, i int64, absent bool) ([]byte, error) {
	if s.log.kind == Events {
		_, data, err := readEvent(ctx, s.log.files, s.log.namespace, uint64(i))
		return data, err
	}
	epoch := s.first + uint64(i)
	if absent {
		_, data, err := readAbsence(ctx, s.log.files, s.log.namespace, epoch)
		return data, err
	}
	_, data, err := s.log.store.VerdictAndBytes(ctx, s.log.namespace, epoch)
	return data, err
}

// due returns the entries that follow the first size ones, at most limit, and which epochs of them
// are absent. Those that come after the first one that is not there yet are not due.
func (s source) due(ctx context.Context, size int64, limit int) (due [][]byte, absent []uint64, err error) {
	limit = min(limit, MaxAppend)
	for window, total := 1, 0; len(due) < limit && total < plannedBytes; window = min(2*window, 1024) {
		n := min(window, limit-len(due))
		from := size + int64(len(due))
		data, isAbsent, errs := make([][]byte, n), make([]bool, n), make([]error, n)
		// Errors are kept apart: that of a later entry says nothing against those before it.
		_ = parallel(ctx, n, func(ctx context.Context, i int) error {
			data[i], errs[i] = s.entry(ctx, from+int64(i), false)
			if s.log.kind == Verdicts && errors.Is(errs[i], auditstore.ErrNotFound) {
				data[i], errs[i] = s.entry(ctx, from+int64(i), true)
				isAbsent[i] = true
			}
			return nil
		})
		for i := range n {
			if errors.Is(errs[i], auditstore.ErrNotFound) || total >= plannedBytes {
				return due, absent, nil
			}
			if errs[i] != nil {
				if len(due) > 0 && ctx.Err() == nil {
					return due, absent, nil // told when nothing else is left
				}
				return nil, nil, errs[i]
			}
			if isAbsent[i] {
				absent = append(absent, s.first+uint64(from)+uint64(i))
			}
			due, total = append(due, data[i]), total+len(data[i])
		}
	}
	return due, absent, nil
}

// planned reads the entries of a plan.
func (s source) planned(ctx context.Context, p plan) ([][]byte, error) {
	all := make([][]byte, p.To.Size-p.From.Size)
	err := parallel(ctx, len(all), func(ctx context.Context, i int) (err error) {
		index := p.From.Size + int64(i)
		_, absent := slices.BinarySearch(p.Absent, s.first+uint64(index))
		all[i], err = s.entry(ctx, index, absent)
		return err
	})
	return all, err
}

// OnRecord returns the bytes of what entry i should be made from, whatever they are: the verdict or
// the event, and the absence. What is not there is nil, what is no file is empty.
func (l *Log) OnRecord(ctx context.Context, i int64) (object, absence []byte, err error) {
	first, err := l.First(ctx)
	if err != nil {
		return nil, nil, err
	}
	number := first + uint64(i)
	if l.kind == Events {
		object, err = asStored(l.files.Get(ctx, eventName(number), maxEventBytes))
		return object, nil, err
	}
	if object, err = asStored(l.store.VerdictBytes(ctx, l.namespace, number)); err == nil {
		absence, err = asStored(l.files.Get(ctx, absenceName(number), verdict.MaxAbsenceBytes))
	}
	return object, absence, err
}

func asStored(data []byte, err error) ([]byte, error) {
	switch {
	case errors.Is(err, auditstore.ErrNotFound):
		return nil, nil
	case errors.Is(err, auditstore.ErrCorrupt):
		return []byte{}, nil
	case err == nil && data == nil:
		return []byte{}, nil
	}
	return data, err
}
