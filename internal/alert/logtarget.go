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
	return Target{Name: LogName, Batch: 1, Send: func(_ context.Context, alerts []Alert) error {
		for _, a := range alerts {
			logAlert(log, a)
		}
		return nil
	}}
}

func logAlert(log zerolog.Logger, a Alert) {
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
	event.Msg("alert: " + a.Summary)
}
