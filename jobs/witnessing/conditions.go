package witnessing

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/alert"
)

// conditions raises what lasts for too long, and resolves what has ended. One that lasts is raised
// once, by whichever scheduler sees it first.
func (l *Loop) conditions(ctx context.Context, now time.Time) error {
	lasting, err := l.Incidents.Outbox().Unresolved(ctx, l.Namespace, l.notices)
	if err != nil && !errors.Is(err, auditstore.ErrCorrupt) {
		return err
	}
	errs := []error{err}
	check := func(kind alert.Kind, name string, since time.Time, summary, detail string, lasts, ended bool) {
		prefix := fmt.Sprintf("%s/%s/", kind, name)
		open := false
		for _, a := range lasting {
			if !strings.HasPrefix(a.Incident, prefix) {
				continue
			}
			if open = true; ended {
				errs = append(errs, l.Incidents.Resolve(ctx, a, now))
			}
		}
		if lasts && !open {
			errs = append(errs, l.Incidents.Raise(ctx, alert.Alert{
				Kind: kind, Namespace: l.Namespace, Incident: prefix + since.UTC().Format("2006010215"), At: since, Summary: summary, Detail: detail,
			}))
		}
	}
	detail := ""
	if l.last != nil {
		detail = l.last.Error()
	}
	check(alert.VerdictLogStalled, "log", l.good, fmt.Sprintf("the verdict log of %s could not be brought up to date since %s", l.Namespace, stamp(l.good)), detail,
		now.Sub(l.good) >= late, l.last == nil)
	for _, log := range l.logs {
		check(alert.NotWitnessed, string(log.Kind()), log.complete,
			fmt.Sprintf("the log of %s of %s has not had the cosignatures that it needs since %s", log.Kind(), l.Namespace, stamp(log.complete)), log.said(),
			log.Witnesses != nil && now.Sub(log.complete) >= late, log.Witnesses == nil || log.complete.Equal(now))
	}
	return errors.Join(errs...)
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// said is what each witness answered last.
func (s *logState) said() string {
	if s.Witnesses == nil {
		return ""
	}
	lines := []string{fmt.Sprintf("%d of %d must have cosigned", s.Witnesses.Required(), s.Witnesses.Len())}
	for _, a := range s.answers {
		if a.Err != nil {
			lines = append(lines, a.Err.Error())
		} else {
			lines = append(lines, fmt.Sprintf("witness %s has cosigned", a.Name))
		}
	}
	return strings.Join(lines, "\n")
}
