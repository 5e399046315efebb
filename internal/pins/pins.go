package pins

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	version = 1
	maxSize = 1 << 20
)

// Pin is a key that is trusted since a time.
type Pin struct {
	PublicKey string    `json:"public_key"` // 64 hexadecimal digits
	Since     time.Time `json:"since"`
}

// file is what is stored.
type file struct {
	Version  int              `json:"version"`
	Auditors map[string][]Pin `json:"auditors"` // by URL
}

// DefaultPath is where pins are unless the user says otherwise: ktaudit/pins.json in
// $XDG_STATE_HOME, or in ~/.local/state.
func DefaultPath() (string, error) {
	state := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) { // as the standard has it
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "ktaudit", "pins.json"), nil
}

// Read returns the pins of an auditor; none if it was never pinned.
func Read(path, auditor string) ([]Pin, error) {
	f, err := read(path)
	return f.Auditors[auditor], err
}

// Add pins keys of an auditor beside those that are pinned already.
//
// Between reading and replacing the file another process may do the same, and its pins be lost:
// then its auditor is pinned at its next use.
func Add(path, auditor string, keys []string, now time.Time) error {
	f, err := read(path)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if !slices.ContainsFunc(f.Auditors[auditor], func(p Pin) bool { return p.PublicKey == key }) {
			f.Auditors[auditor] = append(f.Auditors[auditor], Pin{key, now.UTC().Truncate(time.Second)})
		}
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return replace(path, append(b, '\n'))
}

func read(path string) (file, error) {
	none := file{Version: version, Auditors: map[string][]Pin{}}
	opened, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	} else if err != nil {
		return file{}, err
	}
	defer opened.Close()
	b, err := io.ReadAll(io.LimitReader(opened, maxSize+1))
	if err != nil {
		return file{}, err
	}
	var f file
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields() // what is not understood would be lost by writing it anew
	err = d.Decode(&f)
	if err == nil {
		if _, after := d.Token(); after != io.EOF {
			err = errors.New("something follows the pins")
		}
	}
	switch {
	case len(b) > maxSize:
		err = fmt.Errorf("over %d bytes", maxSize)
	case err == nil && f.Version != version:
		err = fmt.Errorf("version %d, this program knows version %d", f.Version, version)
	case err == nil && f.Auditors == nil:
		err = errors.New("no auditors in it")
	}
	if err != nil {
		return file{}, fmt.Errorf("%s holds no pins that can be read: %w; mend it, or remove it to trust the keys that auditors have now", path, err)
	}
	return f, nil
}

// replace writes a file whole: a crash before the rename leaves the old one, and after it the new.
func replace(path string, b []byte) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	draft, err := os.CreateTemp(folder, ".pins-*")
	if err != nil {
		return err
	}
	_, err = draft.Write(b)
	err = errors.Join(err, draft.Sync(), draft.Close())
	if err == nil {
		err = os.Rename(draft.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(draft.Name()))
	}
	return nil
}
