package timestamp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/verdict"
)

// maxRegistered is how many namespaces can be added.
const maxRegistered = 1000

// registryName stands where the audit store has a namespace: what is registered is about all.
const registryName = "_ktaudit"

// ErrRegistered: a namespace of that name was added before.
var ErrRegistered = errors.New("a namespace of that name was added before")

// Registered is a namespace that was added while replicas run.
type Registered struct {
	Name         string    `json:"name"`
	Root         string    `json:"root"` // EPOCH/DIGEST
	Ciphersuite  uint32    `json:"ciphersuite"`
	LogDirectory string    `json:"log_directory,omitempty"`
	At           time.Time `json:"at"`
}

// Registry has, for all replicas, the namespaces that were added or disabled while they run:
//
//	_ktaudit/namespaces/{namespace}.json
//	_ktaudit/disabled/{namespace}.json
//
// Both are for ever. It may be used by several goroutines.
type Registry struct {
	added, disabled auditstore.Folder

	mu    sync.Mutex
	known map[string]Registered // objects that were read
}

// NewRegistry opens the registry in an audit store.
func NewRegistry(store *auditstore.Store) *Registry {
	return &Registry{
		added: store.Folder(registryName, "namespaces"), disabled: store.Folder(registryName, "disabled"), known: map[string]Registered{},
	}
}

// Add adds a namespace, once for all replicas; ErrRegistered if there is one of that name.
func (r *Registry) Add(ctx context.Context, n Registered) error {
	if err := n.check(); err != nil {
		return err
	}
	all, _, err := r.Read(ctx)
	if err != nil && !errors.Is(err, auditstore.ErrCorrupt) {
		return err
	}
	if len(all) >= maxRegistered {
		return fmt.Errorf("%d namespaces were added, and no more can be", len(all))
	}
	data, err := json.Marshal(n)
	if err != nil {
		return err
	}
	recorded, err := r.added.Put(ctx, data, n.Name)
	if err == nil && string(recorded) != string(data) {
		err = ErrRegistered
	}
	return err
}

func (n Registered) check() error {
	_, err := verdict.ParseAnchor(n.Root)
	return errors.Join(verdict.CheckNamespace(n.Name), err)
}

// Disable has a namespace sign nothing any more. To repeat it changes nothing.
func (r *Registry) Disable(ctx context.Context, name string) error {
	if err := verdict.CheckNamespace(name); err != nil {
		return err
	}
	_, err := r.disabled.Put(ctx, fmt.Appendf(nil, `{"at":%q}`, time.Now().UTC().Format(time.RFC3339)), name)
	return err
}

// Read returns the namespaces that were added, by name, and the names of those that are disabled.
// With auditstore.ErrCorrupt it returns all that can be read.
func (r *Registry) Read(ctx context.Context) (added []Registered, disabled map[string]bool, err error) {
	names, err := namesIn(ctx, r.added)
	if err != nil {
		return nil, nil, err
	}
	var damaged []error
	for _, name := range names {
		n, err := r.read(ctx, name)
		switch {
		case errors.Is(err, auditstore.ErrCorrupt):
			damaged = append(damaged, err)
		case err != nil:
			return nil, nil, err
		default:
			added = append(added, n)
		}
	}
	if names, err = namesIn(ctx, r.disabled); err != nil {
		return nil, nil, err
	}
	disabled = map[string]bool{}
	for _, name := range names {
		disabled[name] = true
	}
	return added, disabled, errors.Join(damaged...)
}

func (r *Registry) read(ctx context.Context, name string) (Registered, error) {
	r.mu.Lock()
	n, ok := r.known[name]
	r.mu.Unlock()
	if ok {
		return n, nil
	}
	data, err := r.added.Get(ctx, name)
	if err != nil {
		return n, err
	}
	if err = json.Unmarshal(data, &n); err == nil {
		err = n.check()
	}
	if err == nil && n.Name != name {
		err = fmt.Errorf("it is of %s", n.Name)
	}
	if err != nil {
		return n, fmt.Errorf("%s/namespaces/%s.json: %w: %w", registryName, name, auditstore.ErrCorrupt, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[name] = n
	return n, nil
}

func namesIn(ctx context.Context, f auditstore.Folder) (names []string, err error) {
	for name, err := range f.Names(ctx, "") {
		if err != nil {
			return nil, err
		}
		if name, isObject := strings.CutSuffix(name, ".json"); isObject && len(names) <= maxRegistered {
			names = append(names, name)
		}
	}
	return names, nil
}
