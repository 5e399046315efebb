package lanes

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
)

// Environment is the name of the environment variable that forces a path.
const Environment = "KTAUDIT_HASH"

// The ways to compute hashes.
const (
	generic = iota
	neon
	avx2
	avx512
)

// pathNames are the names of the paths, from the slowest to the quickest.
var pathNames = [...]string{generic: "generic", neon: "neon", avx2: "avx2", avx512: "avx512"}

var (
	// supported are the paths that this machine can run, from the slowest to the quickest.
	supported = supportedPaths()
	// active is the path in use.
	active atomic.Int32
	// environmentErr is what is wrong with the environment variable.
	environmentErr = start(os.Getenv(Environment))
)

// start sets the path that the environment names, or the quickest one if it names none or one that
// this machine cannot run.
func start(name string) error {
	active.Store(int32(supported[len(supported)-1]))
	if name == "" {
		return nil
	}
	if err := Use(name); err != nil {
		return fmt.Errorf("%s: %w", Environment, err)
	}
	return nil
}

// EnvironmentError returns an error if KTAUDIT_HASH names a path that does not exist or that this
// machine cannot run. The quickest path is in use then. Programs report it at start.
func EnvironmentError() error { return environmentErr }

// Path returns the name of the path in use: "avx512", "avx2", "neon" or "generic".
func Path() string { return pathNames[active.Load()] }

// Paths returns the names of the paths that this machine can run, the quickest first.
func Paths() []string {
	var names []string
	for _, p := range slices.Backward(supported) {
		names = append(names, pathNames[p])
	}
	return names
}

// Use switches to another path, for tests and comparisons. Calls that are running may continue on
// either path: the hashes are the same.
func Use(name string) error {
	p := slices.Index(pathNames[:], name)
	switch {
	case p < 0:
		return fmt.Errorf("unknown hash path %q, want one of %s", name, strings.Join(pathNames[:], ", "))
	case !slices.Contains(supported, p):
		return fmt.Errorf("hash path %s is not supported by this machine, which has %s", name, strings.Join(Paths(), ", "))
	}
	active.Store(int32(p))
	return nil
}
