package client

import "encoding/json"

// This is the JSON of an auditor's API, as the published client plexi 0.1.2 reads it. Digests are
// 64 hexadecimal digits, times milliseconds since 1970.

// The states of a namespace. Other auditors have more.
const (
	Online         = "Online"
	Initialization = "Initialization" // nothing is signed yet, and the first post says where it begins
	Disabled       = "Disabled"       // nothing is signed any more
)

// Info is what GET /info answers.
type Info struct {
	Keys []Key    `json:"keys"`
	Logs []string `json:"logs"`
}

// Key is a verifying key, and from when on it signs.
type Key struct {
	PublicKey string `json:"public_key"` // Ed25519
	NotBefore uint64 `json:"not_before"`
}

// Namespaces is what GET /namespaces answers.
type Namespaces struct {
	Namespaces []Namespace `json:"namespaces"`
}

// Namespace is what GET /namespaces/{namespace} answers.
type Namespace struct {
	Name string `json:"name"`
	// LogDirectory is where the log's proofs are. Of this the client keeps the origin alone.
	LogDirectory string `json:"log_directory,omitempty"`
	// Root is the first epoch that was signed, and its digest, as "epoch/digest".
	Root              string  `json:"root,omitempty"`
	LastVerifiedEpoch *uint64 `json:"last_verified_epoch,omitempty"`
	Status            string  `json:"status"`
	ReportsURI        string  `json:"reports_uri"`
	AuditsURI         string  `json:"audits_uri"`
	// SignatureVersion is an older name of Ciphersuite, and equal to it.
	SignatureVersion uint32 `json:"signature_version"`
	Ciphersuite      uint32 `json:"ciphersuite"`
}

// LastVerified is what GET /namespaces/{namespace}/last-verified-epoch answers.
type LastVerified struct {
	JobID     string `json:"job_id"` // a UUID
	Epoch     uint64 `json:"epoch"`
	StartHash string `json:"start_hash"` // the digests before and after the epoch
	EndHash   string `json:"end_hash"`
	Timestamp uint64 `json:"timestamp"`
}

// Post is the body of POST /namespaces/{namespace}/audits. The answer is the signed digest.
type Post struct {
	Epoch  uint64 `json:"epoch"`
	Digest string `json:"digest"`
}

// NewNamespace is the body of POST /namespaces.
type NewNamespace struct {
	Name   string `json:"name"`
	Public bool   `json:"public"`
	// Root is the first epoch that is to be signed and its digest, as "epoch/digest".
	Root         string `json:"root"`
	LogDirectory string `json:"log_directory,omitempty"`
	// One of the two is enough.
	SignatureVersion uint32 `json:"signature_version"`
	Ciphersuite      uint32 `json:"ciphersuite"`
}

// NamespaceChange is the body of PATCH /namespaces/{namespace}.
type NamespaceChange struct {
	Status string `json:"status"` // Disabled
}

// Report is the body of POST /namespaces/{namespace}/reports: a digest that the log signed itself
// while the auditor was away. It has the form of a signed digest.
type Report struct {
	Version           uint32  `json:"version,omitempty"` // an older name of Ciphersuite
	Ciphersuite       uint32  `json:"ciphersuite,omitempty"`
	Namespace         string  `json:"namespace"`
	Timestamp         uint64  `json:"timestamp"`
	Epoch             uint64  `json:"epoch"`
	Digest            string  `json:"digest"`
	Signature         string  `json:"signature"`
	KeyID             *uint8  `json:"key_id,omitempty"`
	SerializedMessage *string `json:"serialized_message,omitempty"`
}

// ReportAnswer is the answer to a Report.
type ReportAnswer struct {
	ID     string          `json:"id"`     // a UUID
	Report json.RawMessage `json:"report"` // as it came
}
