package targets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/alert"
	"github.com/ktaudit/ktaudit/internal/alert/message"
	"github.com/ktaudit/ktaudit/internal/jsonpost"
	"github.com/ktaudit/ktaudit/internal/text"
)

const (
	// execBatch is how many alerts one run of a program tells of at most.
	execBatch = 1000
	// maxComplaint is how much is kept of what a program writes, and quoted in an error.
	maxComplaint = 400
	// exitRefused is the exit status of a program that will never take what it was given:
	// EX_DATAERR of sysexits.h.
	exitRefused = 65
	// execGrace is how long after its end what a program left behind may keep its output open.
	execGrace = time.Second
)

// inherited are the only variables of the environment that a program gets: the others may hold
// secrets that are none of its business.
var inherited = []string{"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SystemRoot"}

// Check says what is wrong with the settings of a program. It looks for none.
func (e Exec) Check() error {
	switch {
	case !filepath.IsAbs(e.Path):
		return fmt.Errorf("path %.200q is not the absolute path of a program", e.Path)
	case e.Timeout <= 0 || e.Timeout > alert.SendTimeout:
		return fmt.Errorf("timeout %s: want more than 0s and at most %s", e.Timeout, alert.SendTimeout)
	}
	return nil
}

// newExec makes a target of a program. It is started for each message, with the JSON that webhooks
// get on standard input, and has taken it if it ends with status 0 in time; with exitRefused it
// never will. If it does not end in time, it and what it started are killed.
func newExec(s Settings) (alert.Target, error) {
	if err := s.Exec.Check(); err != nil {
		return alert.Target{}, err
	}
	name, err := nameOrDefault(s.Name, "exec", strings.Join(append([]string{s.Exec.Path}, s.Exec.Args...), "\x00"))
	if err != nil {
		return alert.Target{}, err
	}
	return alert.Target{Name: name, Batch: execBatch, Send: func(ctx context.Context, alerts []alert.Alert) error {
		body, err := alertJSON(message.Of(alerts, s.Runbook))
		if err != nil {
			return &jsonpost.Refusal{Err: err}
		}
		return s.Exec.run(ctx, append(body, '\n'))
	}}, nil
}

// run runs the program once.
func (e Exec) run(ctx context.Context, input []byte) error {
	ctx, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	var complaint beginning
	command := exec.CommandContext(ctx, e.Path, e.Args...)
	command.Dir = filepath.Dir(e.Path)
	command.Stdin, command.Stderr = bytes.NewReader(input), &complaint
	command.Env = []string{} // nil would be the whole of ours
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			command.Env = append(command.Env, name+"="+value)
		}
	}
	command.WaitDelay = execGrace
	inOwnGroup(command)
	err := command.Run()
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // status 0, though a child of it goes on
		return nil
	case ctx.Err() != nil:
		err = fmt.Errorf("was killed after %s", e.Timeout)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return &jsonpost.Refusal{Err: fmt.Errorf("cannot be started: %w", err), All: true}
	case command.ProcessState != nil && command.ProcessState.Success(): // it did not read its input
		return nil
	}
	if said := strings.TrimSpace(string(complaint)); said != "" {
		err = fmt.Errorf("%w: %q", err, text.Clean(said, maxComplaint))
	}
	err = fmt.Errorf("%s: %w", e.Path, err)
	if command.ProcessState != nil && command.ProcessState.ExitCode() == exitRefused {
		return &jsonpost.Refusal{Err: err}
	}
	return err
}

// beginning keeps the first bytes that are written to it.
type beginning []byte

func (b *beginning) Write(p []byte) (int, error) {
	*b = append(*b, p[:min(len(p), maxComplaint-len(*b))]...)
	return len(p), nil
}
