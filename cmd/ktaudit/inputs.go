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
	lone   bool             // a copy of which nothing says that it is whole, and not the log's own batch
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
	if arg != standardInput && err != nil {
		return nil, explainAbsent(ctx, arg, err)
	}
	if arg == standardInput || !info.IsDir() {
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
		if dir, epoch, ok := epochFolder(arg); ok && holdsDigests(arg) && c.wanted() == nil {
			in, err := c.logInput(ctx, dir, between(epoch, epoch), open)
			return []input{in}, err
		}
		if isAuditStore(arg) {
			return nil, fmt.Errorf("%s is an audit store and contains no log: ktaudit status, show and export say what is in it", arg)
		}
		return nil, fmt.Errorf("%s contains no log: a log has one folder per epoch, named by its number, with the batch in it as {previous digest}/{digest}", arg)
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

// standardInput is the argument that stands for it.
const standardInput = "-"

// explainAbsent adds to the error about a path that is not there what there is instead.
func explainAbsent(ctx context.Context, path string, err error) error {
	dir, _, ok := epochFolder(path)
	if !ok {
		return err
	}
	logs, findErr := findLogs(ctx, dir)
	if findErr != nil || len(logs) == 0 || logs[0].dir != filepath.Clean(dir) {
		return err
	}
	epochs := logs[0].epochs
	return fmt.Errorf("%w: the log in %s has %d epochs from %d to %d", err, dir, len(epochs), epochs[0], epochs[len(epochs)-1])
}

// epochFolder reads a path as an epoch's folder in a log directory.
func epochFolder(path string) (dir string, epoch uint64, ok bool) {
	path = filepath.Clean(path)
	epoch, err := validator.ParseEpoch(filepath.Base(path))
	return filepath.Dir(path), epoch, err == nil
}

// holdsDigests reports whether a folder has one that is named by a digest, as an epoch's folder
// has.
func holdsDigests(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		_, err := validator.ParseDigest(e.Name())
		return err == nil
	})
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
	f := fetcher.New(bucket, c.limitFlags.fetcherAt(at))
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
	epochs := between(name.Epoch, name.Epoch)
	if path == standardInput {
		return input{label: "standard input", epochs: epochs, once: true, lone: true, open: func(ctx context.Context, _ uint64) (validator.Name, batch, error) {
			opened, err := openStandardInput(ctx, c.limitFlags.fetcher())
			return name, opened, err
		}}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return input{}, err
	}
	in := input{label: path, epochs: epochs, once: !info.Mode().IsRegular(), lone: true}
	in.open = func(ctx context.Context, _ uint64) (validator.Name, batch, error) {
		opened, err := openFile(ctx, path, c.limitFlags.fetcher())
		return name, opened, err
	}
	return in, nil
}

// fileName is what the file claims, by the flags or by its path.
func (c verifyCmd) fileName(path string) (validator.Name, error) {
	switch {
	case c.Previous != "":
		name, err := validator.ParseName(fmt.Sprintf("%d/%s/%s", c.Epoch, c.Previous, c.Digest))
		if err != nil {
			err = fmt.Errorf("--previous and --digest: %w", err)
		}
		return name, err
	case c.Name != "":
		name, err := validator.ParseName(c.Name)
		if err != nil {
			err = fmt.Errorf("--name: %w", err)
		}
		return name, err
	}
	const give = "say what it proves with --name {epoch}/{previous digest}/{digest}, or with --epoch, --previous and --digest, as the log lists it"
	if path == standardInput {
		return validator.Name{}, errors.New("standard input has no name: " + give)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return validator.Name{}, err
	}
	parts := strings.Split(filepath.ToSlash(absolute), "/")
	last := strings.Join(parts[max(0, len(parts)-3):], "/")
	name, err := validator.ParseName(strings.TrimSuffix(last, filepath.Ext(last)))
	if err != nil {
		return name, fmt.Errorf("%s: its path does not end with {epoch}/{previous digest}/{digest} (%w): %s", path, err, give)
	}
	if c.Epoch != 0 && c.Epoch != name.Epoch {
		return name, fmt.Errorf("%s: its path is that of epoch %d, and --epoch is %d: leave out --epoch, or give --previous and --digest, too", path, name.Epoch, c.Epoch)
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

// openStandardInput opens standard input, of which a read ends with the context whatever it is.
func openStandardInput(ctx context.Context, o fetcher.Options) (batch, error) {
	reader, writer := io.Pipe()
	go func() {
		_, err := io.Copy(writer, os.Stdin)
		writer.CloseWithError(err) // io.EOF for nil
	}()
	stop := context.AfterFunc(ctx, func() { reader.CloseWithError(ctx.Err()) })
	decoded, err := fetcher.Decode(ctx, reader, -1, o)
	if err != nil {
		stop()
		return batch{}, errors.Join(err, reader.Close())
	}
	return batch{Batch: decoded, end: func() error {
		stop()
		return errors.Join(reader.Close(), decoded.Close())
	}}, nil
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
//
// The index of digests and the tiles in an audit store are passed over: their folders have numbers
// for names, too. Nothing else is, so that no log can hide its epochs by what else it has.
func findLogs(ctx context.Context, dir string) ([]foundLog, error) {
	var logs []foundLog
	at := map[string]int{} // where in logs a directory is
	err := filepath.WalkDir(dir+string(filepath.Separator), func(path string, entry fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || entry.Type().IsRegular() {
			return err
		}
		parent := filepath.Dir(filepath.Clean(path))
		if name := entry.Name(); entry.IsDir() && (name == "digests" || name == "tlog") && isAudit(parent) {
			return fs.SkipDir
		}
		if path == dir+string(filepath.Separator) {
			return nil
		}
		epoch, err := validator.ParseEpoch(entry.Name())
		if err != nil {
			return nil // not an epoch, but there may be a log in it
		}
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

// isAuditStore reports whether a folder is an audit store, or what it keeps of a log.
func isAuditStore(dir string) bool {
	entries, _ := os.ReadDir(dir)
	return isAudit(dir) || slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return isAudit(filepath.Join(dir, e.Name())) })
}

// isAudit reports whether a folder is what an audit store keeps of a log.
func isAudit(dir string) bool {
	for _, kind := range []string{"verdicts", "digests"} {
		if info, err := os.Lstat(filepath.Join(dir, kind)); err != nil || !info.IsDir() {
			return false
		}
	}
	return true
}
