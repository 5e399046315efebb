package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

// hangingWriter hangs in each write until it is let go.
type hangingWriter struct {
	letGo chan struct{}
	text  strings.Builder
}

func (w *hangingWriter) Write(p []byte) (int, error) {
	<-w.letGo
	return w.text.Write(p)
}

// A reader of the log that stops reading, as a paused terminal does, does not hold work up. Lines are counted, and said to be missing when it reads again.
func TestLogThatHangs(t *testing.T) {
	t.Parallel()
	w := &hangingWriter{letGo: make(chan struct{})}
	l := newLogLines(w, func(w io.Writer) io.Writer { return w })
	l.patience = time.Millisecond
	for _, line := range []string{"first\n", "second\n", "third\n"} {
		if n, err := l.Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if n := l.lost.Load(); n != 2 {
		t.Errorf("%d lines are lost, want 2", n)
	}
	close(w.letGo)
	l.written <- <-l.written // the first has been written
	l.patience = time.Minute
	if _, err := l.Write([]byte("fourth\n")); err != nil {
		t.Error(err)
	}
	got := strings.Split(w.text.String(), "\n")
	if len(got) != 4 || got[0] != "first" || !strings.Contains(got[1], `"lines":2`) || got[2] != "fourth" {
		t.Errorf("the log has %q", got)
	}
}

// failingWriter fails in each write once it is let go.
type failingWriter struct{ letGo chan struct{} }

func (w failingWriter) Write([]byte) (int, error) {
	<-w.letGo
	return 0, io.ErrClosedPipe
}

// How many lines are missing is said again if the line that says so hangs and then fails. That line
// is none of them.
func TestLogThatHangsAndFails(t *testing.T) {
	t.Parallel()
	hanging := failingWriter{make(chan struct{})}
	l := newLogLines(hanging, func(w io.Writer) io.Writer { return w })
	l.missing, l.patience = 1000, time.Millisecond
	if _, err := l.Write([]byte("first\n")); err != nil || l.lost.Load() != 1 {
		t.Errorf("%v, %d lines are lost, want the first", err, l.lost.Load())
	}
	close(hanging.letGo)
	l.written <- <-l.written // the line that says so has failed
	var text strings.Builder
	l.w, l.patience = &text, time.Minute
	if _, err := l.Write([]byte("second\n")); err != nil || l.lost.Load() != 1 || l.missing != 0 {
		t.Errorf("%v, %d lines are lost, of %d nothing is said", err, l.lost.Load(), l.missing)
	}
	if got := strings.Split(text.String(), "\n"); len(got) != 3 || !strings.Contains(got[0], `"lines":1001`) || got[1] != "second" {
		t.Errorf("the log has %q", got)
	}
}
