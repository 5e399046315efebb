package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ktaudit/ktaudit/api"
	"github.com/ktaudit/ktaudit/auditor/client"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/wait"
	"github.com/ktaudit/ktaudit/jobs/timestamp"
)

// registryPoll is how soon a replica knows what another one was told.
const registryPoll = 5 * time.Second

// managed are the logs of the configuration, and those added and disabled over the API where that
// is allowed.
type managed struct {
	s          serving
	configured []api.Namespace
	registry   *timestamp.Registry // nil: it is not allowed
	posters    api.Posters         // who manages, and so posts for what was added

	mu      sync.Mutex
	added   map[string]api.Namespace
	damaged string // what of the registry cannot be used, as it was last logged
	present atomic.Pointer[[]api.Namespace]
}

func newManaged(ctx context.Context, s serving, m config.Manage, configured []api.Namespace) (*managed, error) {
	all := &managed{s: s, configured: configured, added: map[string]api.Namespace{}}
	all.present.Store(&configured)
	if m == (config.Manage{}) {
		return all, nil
	}
	if len(s.keys) == 0 {
		return nil, errors.New("serve.manage is given, and there is no key to sign with: make one with `ktaudit keygen`, and give serve.keys")
	}
	token, err := s.token("serve.manage", m.TokenFile, m.Token, s.a.log)
	if err != nil {
		return nil, err
	}
	all.registry, all.posters = timestamp.NewRegistry(s.store), api.Posters{Token: token}
	return all, all.refresh(ctx)
}

// api returns what the API needs to manage namespaces; nil where that is not allowed.
func (m *managed) api() *api.Manage {
	if m.registry == nil {
		return nil
	}
	return &api.Manage{Who: m.posters, Create: m.create, Disable: m.disable}
}

// namespaces returns the present ones.
func (m *managed) namespaces() []api.Namespace { return *m.present.Load() }

// isDisabled reports whether a namespace signs nothing any more.
func (m *managed) isDisabled(name string) bool {
	return slices.ContainsFunc(m.namespaces(), func(n api.Namespace) bool { return n.Name == name && n.Disabled })
}

// refresh takes over what was added and disabled, here or elsewhere. The configuration comes first.
// What is damaged of it is logged, and holds nothing else up.
func (m *managed) refresh(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	added, disabled, err := m.registry.Read(ctx)
	if err != nil && !errors.Is(err, auditstore.ErrCorrupt) {
		return err
	}
	damaged := []error{err}
	all := slices.Clone(m.configured)
	for _, r := range added {
		if slices.ContainsFunc(m.configured, func(n api.Namespace) bool { return n.Name == r.Name }) {
			continue
		}
		n, ok := m.added[r.Name]
		if !ok {
			if n, err = m.log(r); err != nil {
				damaged = append(damaged, err)
				continue
			}
			m.added[r.Name] = n
		}
		all = append(all, n)
	}
	for i := range all {
		if disabled[all[i].Name] {
			all[i].Disabled = true
		}
	}
	m.present.Store(&all)
	m.logDamage(errors.Join(damaged...))
	return nil
}

// logDamage says what is damaged when that changes.
func (m *managed) logDamage(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != m.damaged {
		m.s.a.log.Error().Err(err).Msg("namespaces that were added over the API cannot be read: they are not served, and nothing of them is signed, until that is mended")
	}
	m.damaged = text
}

// log returns a log that was added.
func (m *managed) log(r timestamp.Registered) (api.Namespace, error) {
	n := config.DefaultNamespace()
	n.Namespace = r.Name
	n.Signing = config.Signing{Mode: config.SignSeen, Root: r.Root, Ciphersuite: int(r.Ciphersuite)}
	log, err := m.s.log(n)
	if err != nil {
		return log, fmt.Errorf("namespace %s: %w", r.Name, err)
	}
	log.LogDirectory, log.Posters = r.LogDirectory, m.posters
	m.s.a.log.Warn().Str("namespace", r.Name).
		Msg("this namespace was added over the API: it is not audited, and nobody is alerted, until it is in the configuration file")
	return log, nil
}

func (m *managed) create(ctx context.Context, n client.NewNamespace) error {
	if slices.ContainsFunc(m.namespaces(), func(other api.Namespace) bool { return other.Name == n.Name }) {
		return api.ErrExists
	}
	r := timestamp.Registered{Name: n.Name, Root: n.Root, Ciphersuite: n.Ciphersuite, LogDirectory: n.LogDirectory, At: time.Now().UTC()}
	err := m.registry.Add(ctx, r)
	if errors.Is(err, timestamp.ErrRegistered) {
		return api.ErrExists
	}
	if err != nil {
		return err
	}
	return m.refresh(ctx)
}

func (m *managed) disable(ctx context.Context, name string) error {
	if err := m.registry.Disable(ctx, name); err != nil {
		return err
	}
	m.s.a.log.Warn().Str("namespace", name).Msg("this namespace was disabled over the API: nothing of it is signed any more")
	return m.refresh(ctx)
}

// run keeps up with other replicas until ctx ends.
func (m *managed) run(ctx context.Context) error {
	for silent := false; m.registry != nil && wait.For(ctx, registryPoll) == nil; {
		err := m.refresh(ctx)
		if err != nil && ctx.Err() == nil && !silent {
			m.s.a.log.Error().Err(err).Msg("what was added and disabled over the API cannot be read: the last known state is kept")
		}
		silent = err != nil
	}
	return nil
}
