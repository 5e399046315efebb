package secret

import (
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"github.com/ktaudit/ktaudit/internal/reload"
)

// maxBytes bounds a file that holds a secret and perhaps a line end.
const maxBytes = 64 << 10

// Read reads a secret from the file or environment variable that a configuration names. It is empty
// if both are.
func Read(what, file, env string) (string, error) {
	switch {
	case file != "":
		secret, err := ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("%s_file: %w", what, err)
		}
		return secret, nil
	case env != "":
		secret := strings.TrimSpace(os.Getenv(env))
		if secret == "" {
			return "", fmt.Errorf("%s_env: the environment variable %s is empty", what, env)
		}
		return secret, nil
	}
	return "", nil
}

// ReadFile returns the secret that a file holds, without the white space around it. No error
// repeats any of it.
func ReadFile(path string) (string, error) {
	data, _, err := reload.ReadFile(path, maxBytes)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(data))
	if secret == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return secret, nil
}

// ReadKeyFile is ReadFile for a key that signs: one that others than its owner may read or write is
// refused.
func ReadKeyFile(path string) (string, error) {
	if mode, open := IsOpenToOthers(path); open {
		return "", fmt.Errorf("%s can be read or written by other users of this machine (mode %04o): run `chmod 600 %s`, "+
			"and make a new key if it was so for long", path, mode, path)
	}
	return ReadFile(path)
}

// IsOpenToOthers reports whether others than its owner may read or write a file, and its mode. A
// link is followed, as it is when the secret is read. Of what is not there nothing is said: the
// file may be checked on another machine than it is used on.
func IsOpenToOthers(file string) (fs.FileMode, bool) {
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() || runtime.GOOS == "windows" { // where modes say nothing
		return 0, false
	}
	return info.Mode().Perm(), info.Mode().Perm()&0o077 != 0
}
