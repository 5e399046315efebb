package main

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// logPatience is how long a line may take to be written.
const logPatience = 5 * time.Second

// logLines writes the log to standard error and counts the lines that it does not take: a journal
// that was restarted, a reader that died or hangs, a full disk. Work goes on without them. Before
// the first line that can be written again comes one that says how many are missing.
type logLines struct {
	formatted io.Writer // takes log lines as JSON
	format    func(io.Writer) io.Writer
	w         io.Writer // takes them as they are shown
	patience  time.Duration
	lost      atomic.Uint64

	mu      sync.Mutex
	missing uint64 // of those lost, the ones that nothing was said of
	saying  uint64 // how many of them the line says that is being written; 0: it is another
	// written has how the last write ended. While one hangs, further lines are lost at once.
	written chan error
	hangs   bool
}

// errLogHangs stands for a line that was not written since an earlier one hangs.
var errLogHangs = errors.New("an earlier line is still being written")

func newLogLines(w io.Writer, format func(io.Writer) io.Writer) *logLines {
	l := &logLines{format: format, w: w, patience: logPatience, written: make(chan error, 1)}
	l.formatted = format(l)
	return l
}

// Write writes one line. It never fails: the caller could only log that.
func (l *logLines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hangs {
		select {
		case err := <-l.written:
			l.hangs = false
			l.noteWritten(err)
		default:
		}
	}
	if l.missing > 0 && !l.hangs {
		l.saying = l.missing
		if err := l.write(l.sayMissing()); !l.hangs {
			l.noteWritten(err)
		}
	}
	l.count(l.write(line))
	return len(line), nil
}

// noteWritten takes note of how the write of a line ended, or of how many are missing.
func (l *logLines) noteWritten(err error) {
	switch {
	case l.saying == 0:
		l.count(err)
	case err == nil:
		l.missing -= l.saying
	}
	l.saying = 0
}

func (l *logLines) count(err error) {
	if err != nil {
		l.missing++
		l.lost.Add(1)
	}
}

// write returns when a line was written, or is left to be. It is called under mu.
func (l *logLines) write(line []byte) error {
	if l.hangs {
		return errLogHangs
	}
	line = bytes.Clone(line) // the caller uses its memory again
	go func() {
		_, err := l.w.Write(line)
		l.written <- err
	}()
	timer := time.NewTimer(l.patience)
	defer timer.Stop()
	select {
	case err := <-l.written:
		return err
	case <-timer.C:
		l.hangs = true
		return nil // it may come yet
	}
}

func (l *logLines) sayMissing() []byte {
	var line bytes.Buffer
	log := zerolog.New(l.format(&line)).With().Timestamp().Logger()
	log.Warn().Uint64("lines", l.missing).Msg("log lines were lost: standard error could not be written")
	return line.Bytes()
}
