package main

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// logLines writes the log to standard error and counts the lines that it does not take: a journal
// that was restarted, a reader that died, a full disk. Work goes on without them. Before the first
// line that can be written again comes one that says how many are missing.
type logLines struct {
	formatted io.Writer // takes log lines as JSON
	format    func(io.Writer) io.Writer
	w         io.Writer // takes them as they are shown
	lost      atomic.Uint64

	mu      sync.Mutex
	missing uint64 // of those lost, the ones that nothing was said of
}

func newLogLines(w io.Writer, format func(io.Writer) io.Writer) *logLines {
	l := &logLines{format: format, w: w}
	l.formatted = format(l)
	return l
}

// Write writes one line. It never fails: the caller could only log that.
func (l *logLines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.missing > 0 {
		if _, err := l.w.Write(l.sayMissing()); err == nil {
			l.missing = 0
		}
	}
	if _, err := l.w.Write(line); err != nil {
		l.missing++
		l.lost.Add(1)
	}
	return len(line), nil
}

func (l *logLines) sayMissing() []byte {
	var line bytes.Buffer
	log := zerolog.New(l.format(&line)).With().Timestamp().Logger()
	log.Warn().Uint64("lines", l.missing).Msg("log lines were lost: standard error could not be written")
	return line.Bytes()
}
