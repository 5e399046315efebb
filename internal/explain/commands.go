package explain

import (
	"strconv"
	"strings"
)

// Words in capitals in commands stand for what differs from one alert to the next: those that
// Values fills in, and TEXT and NAME, which the reader writes.
const (
	ofLog = " --config CONFIG --namespace NAMESPACE"

	// ListIncidents is for several incidents at once.
	ListIncidents = "ktaudit incidents" + ofLog

	showIncident = "ktaudit incidents show ID" + ofLog
	showEpoch    = "ktaudit show EPOCH" + ofLog
	makeBundle   = "ktaudit evidence EPOCH --output evidence-EPOCH.tar.zst" + ofLog
	reverify     = "ktaudit reverify EPOCH" + ofLog
	sample       = "ktaudit reverify --sample 1000" + ofLog
	status       = "ktaudit status" + ofLog
	checkSeals   = "ktaudit seal --check" + ofLog
	walkChain    = "ktaudit chain" + ofLog
	retryAll     = "ktaudit retry --all" + ofLog
	checkLog     = "ktaudit log check" + ofLog
	showLog      = "ktaudit log show" + ofLog
	appendLog    = "ktaudit log append" + ofLog
	checkConfig  = "ktaudit config check CONFIG"
	explainTest  = "ktaudit explain test"
	overrule     = "ktaudit overrule EPOCH" + ofLog + ` --reason "TEXT" --by NAME`
	ack          = "ktaudit incidents ack ID" + ofLog + ` --reason "TEXT" --by NAME`
)

// acknowledged is when what happened, which has no end, needs no more attention.
const acknowledged = "What happened stays on record. The incident is open until somebody acknowledges it."

// Values are what an alert is about, for its commands.
type Values struct {
	Config    string // the configuration file; if it is empty, Store counts
	Store     string // the audit store
	Namespace string
	Incident  string
	Epoch     uint64 // 0 if it is about none
}

// CommandsFor returns the commands of a text, filled in; those that need an epoch or a
// configuration file only if there is one.
func (t Text) CommandsFor(v Values) []string {
	log := "--config " + v.Config
	if v.Config == "" {
		log = "--audit-store " + v.Store
	}
	fill := strings.NewReplacer("--config CONFIG", log, "CONFIG", v.Config, "NAMESPACE", v.Namespace, "ID", v.Incident, "EPOCH", strconv.FormatUint(v.Epoch, 10))
	var commands []string
	for _, c := range t.Commands {
		if (v.Epoch > 0 || !strings.Contains(c, "EPOCH")) && (v.Config != "" || c != checkConfig) {
			commands = append(commands, fill.Replace(c))
		}
	}
	return commands
}
