package summary

import (
	"time"

	"github.com/ktaudit/ktaudit/verdict"
)

// Log is a log as the page shows it.
type Log struct {
	Name string
	// First is the first epoch of the audit; 0: the first with a verdict. Anchor is the digest
	// before it, if that is configured.
	First  uint64
	Anchor verdict.Anchor
	// LogDirectory is where anybody finds the log's batches; empty: nowhere.
	LogDirectory string
	// Configuration is that of the log's hashes, as `ktaudit verify --configuration` takes it;
	// Preset is the name of the preset that the log is, if it is one.
	Configuration, Preset string
	// Signs: the log's digests are signed here.
	Signs bool
	// StaleAfter is how old the newest verdict may be before the page says that nothing comes. 0:
	// as old as it likes, as of a log that is closed.
	StaleAfter time.Duration
	// MaxLag is for how many epochs that the log published there may be no verdict. 0: DefaultLag.
	MaxLag   uint64
	Auditors []Auditor
	Keys     Keys
}

// DefaultLag is how many epochs an audit may be behind what it has seen of a log.
const DefaultLag = 100

// Auditor is another auditor of a log.
type Auditor struct {
	ID  string // as in the audit store, see jobs/crosscheck
	URL string
}

// Keys are those by which others check what this auditor says: C2SP vkeys; empty where it says
// nothing of the kind.
type Keys struct {
	// Verdicts and Events are the verifiers of the checkpoints of the two logs, Statement that of
	// the statements on single epochs.
	Verdicts, Events, Statement string
	// FormerVerdicts are the verifiers by which Verdicts signed before its key was changed.
	FormerVerdicts []string
	Witnesses      []string // of cosigners
	Require        int      // how many of these must have cosigned
}
