package alert

import (
	"context"

	"github.com/rs/zerolog"
)

// LogName is the name of the target that every dispatcher has: ktaudit's own log.
const LogName = "log"

// logTarget writes alerts to the program's log, so that they are seen even where nobody has
// configured a target.
func logTarget(log zerolog.Logger) Target {
	return Target{Name: LogName, Send: func(_ context.Context, alerts []Alert) error {
		logAlerts(log, alerts)
		return nil
	}}
}

// logAlerts writes a line on alerts of one cause. Of several, incident, epoch and detail are the
// first's.
func logAlerts(log zerolog.Logger, alerts []Alert) {
	a := alerts[0]
	level := zerolog.ErrorLevel
	switch {
	case a.Resolved():
		level = zerolog.InfoLevel
	case a.Severity == Warning:
		level = zerolog.WarnLevel
	}
	event := log.WithLevel(level).
		Str("kind", string(a.Kind)).Str("severity", string(a.Severity)).Str("status", a.Status()).
		Str("namespace", a.Namespace).Str("incident", a.Incident).Uint64("epoch", a.Epoch).Time("at", a.At)
	if a.Reason != "" {
		event.Str("reason", a.Reason)
	}
	if a.Detail != "" {
		event.Str("detail", a.Detail)
	}
	if len(alerts) > 1 {
		event.Int("alerts", len(alerts))
	}
	event.Msg("alert: " + Summary(alerts))
}
