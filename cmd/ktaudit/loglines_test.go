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

// A reader of the log that stops reading, as a terminal that is paused, keeps no work from going on.
// Lines are counted, and said to be missing when it reads again.
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
