package metrics

import "github.com/ktaudit/ktaudit/jobs/observe"

var (
	verdictLogs    = newSet("verdicts", "events")
	witnessResults = newSet("cosigned", "disagrees", "refused", "failed")
)

// startVerdictLog makes what shows the logs of the auditor's own verdicts.
func (m *Metrics) startVerdictLog(o Options) {
	m.witnesses = newSet(o.Witnesses...)
	m.loggedEntries = gauge("verdict_log_entries", "Entries of the log of this auditor's own verdicts, or of later events, in its newest checkpoint.", "namespace", "log")
	m.witnessedEntries = gauge("verdict_log_witnessed_entries", "Of these, those in a checkpoint that enough witnesses have cosigned.", "namespace", "log")
	m.verdictsAppended = gauge("verdict_log_appended_timestamp_seconds", "When a round last left nothing that could be appended.", "namespace", "log")
	m.witnessAnswers = counter("witness_answers_total", "What a witness answered to a checkpoint: cosigned, disagrees (it knows another log), refused, or failed.",
		"namespace", "witness", "result")
	for namespace := range m.names {
		for witness := range m.witnesses {
			for result := range witnessResults {
				m.witnessAnswers.WithLabelValues(namespace, witness, result)
			}
		}
	}
}

// SetVerdictLog shows how far a log of a namespace is, "verdicts" or "events".
func (m *Metrics) SetVerdictLog(namespace, log string, s observe.VerdictLogState) {
	if m == nil {
		return
	}
	namespace, log = m.names.bound(namespace), verdictLogs.bound(log)
	m.loggedEntries.WithLabelValues(namespace, log).Set(float64(s.Entries))
	m.witnessedEntries.WithLabelValues(namespace, log).Set(float64(s.Witnessed))
	if !s.AppendedAt.IsZero() {
		m.verdictsAppended.WithLabelValues(namespace, log).Set(float64(s.AppendedAt.Unix()))
	}
}

// WitnessAnswered counts what a witness answered.
func (m *Metrics) WitnessAnswered(namespace, witness, result string) {
	if m != nil {
		m.witnessAnswers.WithLabelValues(m.names.bound(namespace), m.witnesses.bound(witness), witnessResults.bound(result)).Inc()
	}
}
