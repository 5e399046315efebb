package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/validator"
)

// input is one file, or one log directory with the epochs to verify in it.
type input struct {
	label  string
	epochs iter.Seq[uint64] // ascending
	whole  bool             // epochs are all that are there, and what they leave out is missing
	once   bool             // it is a pipe, and can be read only once
	// open opens an epoch's batch. The name is set as soon as it is known, even with an error.
	open func(ctx context.Context, epoch uint64) (validator.Name, batch, error)
}

// inputs finds out what an argument is: a bucket's URL, a directory with logs in it, or a file.
func (c verifyCmd) inputs(ctx context.Context, arg string, open *closers) ([]input, error) {
	if strings.Contains(arg, "://") {
		epochs := c.wanted()
		if epochs == nil {
			return nil, fmt.Errorf("%s: no epochs given: give --epoch, or --from and --to", arg)
		}
		in, err := c.logInput(ctx, arg, epochs, open)
		return []input{in}, err
	}
	info, err := os.Stat(arg)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		in, err := c.fileInput(arg)
		return []input{in}, err
	}
	if c.named() {
		return nil, fmt.Errorf("%s is a directory: --name, --previous and --digest apply to a file only", arg)
	}
	logs, err := findLogs(ctx, arg)
	if err != nil {
		return nil, err
	}
	if len(logs) == 0 {
		return nil, fmt.Errorf("%s contains no log: a log has one folder per epoch, named by its number", arg)
	}
	var inputs []input
	for _, log := range logs {
		epochs := c.wanted()
		whole := epochs == nil
		if whole {
			epochs = slices.Values(log.epochs)
		}
		in, err := c.logInput(ctx, log.dir, epochs, open)
		if err != nil {
			return nil, err
		}
		in.whole = whole
		inputs = append(inputs, in)
	}
	return inputs, nil
}

// wanted are the epochs that the flags ask for; nil if they don't say.
func (c verifyCmd) wanted() iter.Seq[uint64] {
	switch {
	case c.given():
		return between(c.From, c.To)
	case c.Epoch != 0:
		return between(c.Epoch, c.Epoch)
	}
	return nil
}

// between yields the epochs from first to last, both included.
func between(first, last uint64) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for epoch := first; yield(epoch) && epoch != last; epoch++ {
		}
	}
}

// logInput is a log directory at a URL or a path.
func (c verifyCmd) logInput(ctx context.Context, at string, epochs iter.Seq[uint64], open *closers) (input, error) {
	bucket, err := blobstore.OpenBucket(ctx, at)
	if err != nil {
		return input{}, err
	}
	open.add(bucket.Close)
	options := c.limitFlags.fetcher()
	options.Present = blobstore.Present(at)
	f := fetcher.New(bucket, options)
	return input{label: at, epochs: epochs, open: func(ctx context.Context, epoch uint64) (validator.Name, batch, error) {
		object, err := f.Locate(ctx, epoch)
		if err != nil {
			return validator.Name{}, batch{}, err
		}
		opened, err := f.Open(ctx, object, nil)
		return object.Name, batch{Batch: opened, strays: object.Strays}, err
	}}, nil
}

// fileInput is one local file.
func (c verifyCmd) fileInput(path string) (input, error) {
	name, err := c.fileName(path)
	if err != nil {
		return input{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return input{}, err
	}
	in := input{label: path, epochs: between(name.Epoch, name.Epoch), once: !info.Mode().IsRegular()}
	in.open = func(ctx context.Context, _ uint64) (validator.Name, batch, error) {
		opened, err := openFile(ctx, path, c.limitFlags.fetcher())
		return name, opened, err
	}
	return in, nil
}

// fileName is what the file claims, by the flags or by its path.
func (c verifyCmd) fileName(path string) (validator.Name, error) {
	text, from := c.Name, "--name"
	switch {
	case c.Previous != "":
		text, from = fmt.Sprintf("%d/%s/%s", c.Epoch, c.Previous, c.Digest), "--previous and --digest"
	case c.Name == "":
		absolute, err := filepath.Abs(path)
		if err != nil {
			return validator.Name{}, err
		}
		parts := strings.Split(filepath.ToSlash(absolute), "/")
		text, from = strings.Join(parts[max(0, len(parts)-3):], "/"), "its path (override it with --name)"
		text = strings.TrimSuffix(text, filepath.Ext(text))
	}
	name, err := validator.ParseName(text)
	if err != nil {
		return name, fmt.Errorf("%s: name taken from %s: %w", path, from, err)
	}
	return name, nil
}

// batch is an open batch with what it comes from.
type batch struct {
	*fetcher.Batch
	strays fetcher.Strays // other objects under the epoch
	// end closes the batch and what it is read from; nil if that is nothing to be closed.
	end func() error
}

// Close closes both.
func (b batch) Close() error {
	if b.end != nil {
		return b.end()
	}
	return b.Batch.Close()
}

// openFile opens the file that an argument names. It may be reached by links, and may be a pipe: an
// argument is the user's own choice, other than what is found in a log directory.
func openFile(ctx context.Context, path string, o fetcher.Options) (batch, error) {
	file, err := openPatiently(ctx, path)
	if err != nil {
		return batch{}, err
	}
	info, err := file.Stat()
	if err != nil {
		return batch{}, errors.Join(err, file.Close())
	}
	size := info.Size()
	if !info.Mode().IsRegular() {
		size = -1
	}
	decoded, err := fetcher.Decode(ctx, file, size, o)
	if err != nil {
		return batch{}, errors.Join(err, file.Close())
	}
	// Whoever writes into a pipe may have stopped. Other files take no deadline and need none.
	stop := context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Now()) })
	end := func() error {
		err := decoded.Close()
		stop()
		return errors.Join(err, file.Close())
	}
	return batch{Batch: decoded, end: end}, nil
}

// openPatiently is os.Open that ends with the context: opening a named pipe waits for its other
// end.
func openPatiently(ctx context.Context, path string) (*os.File, error) {
	var file *os.File
	opened := make(chan error, 1)
	go func() {
		var err error
		file, err = os.Open(path)
		opened <- err
	}()
	select {
	case err := <-opened:
		return file, err
	case <-ctx.Done(): // the process is about to end
		return nil, ctx.Err()
	}
}

// readFile reads a file, or standard input for "-", as far as one byte beyond a limit: enough for
// whoever parses it to say that it is too large.
func readFile(ctx context.Context, path string, limit int64) ([]byte, error) {
	file := os.Stdin
	if path != "-" {
		opened, err := openPatiently(ctx, path)
		if err != nil {
			return nil, err
		}
		defer opened.Close()
		file = opened
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// foundLog is a log directory on the local disk, with the epochs that it has a folder for,
// ascending.
type foundLog struct {
	dir    string
	epochs []uint64
}

// findLogs finds the log directories in and under dir. A log directory is one with a folder that is
// named by an epoch. Something else in such a folder's place, such as a link, counts as the epoch,
// so that it is told that it cannot be read; dir itself may be a link.
func findLogs(ctx context.Context, dir string) ([]foundLog, error) {
	var logs []foundLog
	at := map[string]int{} // where in logs a directory is
	err := filepath.WalkDir(dir+string(filepath.Separator), func(path string, entry fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || entry.Type().IsRegular() || path == dir+string(filepath.Separator) {
			return err
		}
		epoch, err := validator.ParseEpoch(entry.Name())
		if err != nil {
			return nil // not an epoch, but there may be a log in it
		}
		parent := filepath.Dir(path)
		i, ok := at[parent]
		if !ok {
			i = len(logs)
			at[parent] = i
			logs = append(logs, foundLog{dir: parent})
		}
		logs[i].epochs = append(logs[i].epochs, epoch)
		if !entry.IsDir() {
			return nil // SkipDir would leave out what comes after it
		}
		return fs.SkipDir
	})
	for _, log := range logs {
		slices.Sort(log.epochs)
	}
	return logs, err
}
