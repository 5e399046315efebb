package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/fetcher"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/units"
	"github.com/ktaudit/ktaudit/jobs/lag"
	"github.com/ktaudit/ktaudit/jobs/queue"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict/epochset"
)

// askLogTimeout bounds for how long a status asks a log for its newest epoch.
const askLogTimeout = time.Minute

// lagFlag is how far the audit may be behind its log.
type lagFlag struct {
	MaxLag string `group:"log" placeholder:"EPOCHS|DURATION" help:"How far the audit may be behind the newest published epoch: a number of epochs, a duration since the first of them was published, or never. By default ${default_max_lag}, or what the configuration says."`
}

// given reports whether the flag sets a bound.
func (f lagFlag) given() bool { return f.MaxLag != "" && f.MaxLag != "never" }

// max returns the bound of a log.
func (f lagFlag) max(n config.Namespace) (units.Lag, error) {
	text := cmp.Or(f.MaxLag, n.MaxLag, "never")
	if text == "never" {
		return units.Lag{}, nil
	}
	l, err := units.ParseLag(text)
	if err != nil {
		err = fmt.Errorf("--max-lag: %w", err)
	}
	return l, err
}

// check refuses a bound that nothing can be held against.
func (f lagFlag) check(r rangeFlags, n config.Namespace) error {
	_, err := f.max(n)
	switch {
	case err != nil || !f.given():
		return err
	case r.To != 0:
		return errors.New("--max-lag is about the newest epoch of the log, so it cannot be used with --to")
	case n.LogDirectory == "":
		return errors.New("--max-lag needs to know the log: give --log-directory or a configuration file")
	}
	return nil
}

// liveState is what a status shows beside what is on record: how far the log has come, who is
// alive, and what waits.
type liveState struct {
	queueState `json:"-"`
	// Signed are the epochs whose digests are signed here.
	Signed []epochset.Range `json:"signed,omitempty"`
	Newest *newestVerdict   `json:"newest_verdict,omitempty"`
	// VerdictLog is what the log of our own verdicts says; nil if none is configured.
	VerdictLog *checkedLog `json:"verdict_log,omitempty"`
	Lag        *lag.Lag    `json:"lag,omitempty"`
	LagNote    string      `json:"lag_note,omitempty"` // why Lag is missing
	MaxLag     string      `json:"max_lag,omitempty"`
	// Workers and Schedulers are how many of the log are alive; nil if it is not known.
	Workers    *int                 `json:"workers,omitempty"`
	Schedulers *int                 `json:"schedulers,omitempty"`
	Retrying   []queue.WaitingEpoch `json:"retrying,omitempty"` // the first hundred
	Waiting    []waitingEpochs      `json:"waiting,omitempty"`
	Problems   []problem            `json:"problems,omitempty"`

	unanswered error // the log could not be asked
}

// newestVerdict is the verdict on the last epoch that has one.
type newestVerdict struct {
	Epoch      uint64    `json:"epoch"`
	FinishedAt time.Time `json:"finished_at"`
}

// problem is something wrong that no verdict shows.
type problem struct {
	Kind    string `json:"kind"` // behind, redis, workers, schedulers or verdict_log
	Message string `json:"message"`
}

func (l *liveState) found(kind, format string, args ...any) {
	l.Problems = append(l.Problems, problem{kind, fmt.Sprintf(format, args...)})
}

// statusReader reads the status of logs, once or again and again.
type statusReader struct {
	statusCmd
	app   *app
	store *auditstore.Store
	own   *verdictLog  // nil: none is configured
	redis *queue.Redis // nil: not connected
}

func (r *statusReader) close() {
	if r.redis != nil {
		_ = r.redis.Close()
	}
}

// logStatus is the status of one log, or why there is none.
type logStatus struct {
	status report.Status
	live   liveState
	next   nextSteps
	err    error
}

// readAll reads the status of all logs at the same time, for each asks its log.
func (r *statusReader) readAll(ctx context.Context, namespaces []config.Namespace) []logStatus {
	var note string
	if r.redis == nil && r.Redis != "" && r.Redis != queue.Embedded {
		// The queue is only a work list: without it what is on record is still complete.
		redis, err := r.connect(ctx, r.app)
		if err != nil {
			note = err.Error()
		} else {
			r.redis = redis
		}
	}
	all := make([]logStatus, len(namespaces))
	_ = forEach(namespaces, func(i int, n config.Namespace) error {
		all[i] = r.read(ctx, n, note)
		return nil
	})
	return all
}

// read reads the status of one log.
func (r *statusReader) read(ctx context.Context, n config.Namespace, note string) logStatus {
	s := logStatus{next: nextSteps{logDirectory: n.LogDirectory, store: r.AuditStore}}
	epochs := r.rangeFlags
	epochs.fill(n)
	if s.err = epochs.checkBounds(); s.err != nil {
		return s
	}
	anchor, err := r.of(n)
	if err == nil {
		s.status, err = report.ReadStatus(ctx, r.store, n.Namespace, anchor, epochs.From, epochs.To)
	}
	if err == nil {
		s.live.Newest, err = r.newest(ctx, s.status)
	}
	if err == nil {
		s.live.Signed, err = r.signed(ctx, n.Namespace)
	}
	if err == nil {
		s.live.Waiting, err = readWaiting(ctx, r.store, n.Namespace)
	}
	if s.err = err; err != nil {
		return s
	}
	r.holdAgainstLog(ctx, n.Namespace, &s.live)
	s.live.QueueNote = note
	r.readQueue(ctx, n, s.status, &s.live)
	if r.To == 0 {
		r.findProblems(ctx, n, s.status, &s.live)
	}
	return s
}

// holdAgainstLog holds the store against the verdict log, by a sample. That this cannot be done is
// no good status either.
func (r *statusReader) holdAgainstLog(ctx context.Context, namespace string, live *liveState) {
	if r.own == nil {
		return
	}
	checked, err := r.own.check(ctx, r.store, namespace, false, nil, nil)
	if err != nil {
		live.unanswered = fmt.Errorf("%s: the store cannot be held against its verdict log: %w", namespace, err)
		return
	}
	live.VerdictLog = &checked
	if checked.Note != "" {
		live.found("verdict_log", "%s", checked.Note)
	}
	for _, f := range checked.Findings {
		live.found("verdict_log", "%s", f.Text)
	}
}

// signed returns the epochs whose digests are signed.
func (r *statusReader) signed(ctx context.Context, namespace string) ([]epochset.Range, error) {
	first, last, ok, err := auditor.SignedRange(ctx, r.store, namespace)
	if !ok {
		return nil, err
	}
	return []epochset.Range{{From: first, To: last}}, nil
}

// newest returns the verdict on the last epoch that has one; nil if there is none.
func (r *statusReader) newest(ctx context.Context, s report.Status) (*newestVerdict, error) {
	epoch := s.To
	if last := len(s.Gaps) - 1; last >= 0 && s.Gaps[last].To == s.To {
		epoch = s.Gaps[last].From - 1
	}
	if epoch == 0 || epoch < s.From {
		return nil, nil
	}
	v, err := r.store.Verdict(ctx, s.Namespace, epoch)
	if auditstore.IsLost(err) { // what is on record of it came out of a seal
		return nil, nil
	}
	return &newestVerdict{epoch, v.FinishedAt.UTC()}, err
}

// readQueue reads what the queue knows. If Redis does not answer, it sets a note.
func (r *statusReader) readQueue(ctx context.Context, n config.Namespace, s report.Status, live *liveState) {
	if r.redis == nil {
		return
	}
	live.queueState.read(r.redis, n.Namespace)
	if live.QueueNote != "" {
		return
	}
	workers, err := r.redis.LiveWorkers(n.Namespace)
	var schedulers int
	if err == nil {
		schedulers, err = r.redis.LiveSchedulers(ctx, n.Namespace)
	}
	var waiting []queue.WaitingEpoch
	if err == nil {
		waiting, err = r.redis.WaitingEpochs(n.Namespace)
	}
	if err != nil {
		live.QueueNote = fmt.Sprintf("redis at %s does not answer: %v", r.redis, err)
		return
	}
	alive := workers[n.Namespace]
	live.Workers, live.Schedulers = &alive, &schedulers
	for _, w := range waiting {
		isAsked := w.Epoch >= s.From && (r.To == 0 || w.Epoch <= r.To)
		if isAsked && len(live.Retrying) < maxRetrying {
			live.Retrying = append(live.Retrying, w)
		}
	}
}

// findProblems finds what is wrong beside what is on record: the audit is behind, or nobody is at
// work.
func (r *statusReader) findProblems(ctx context.Context, n config.Namespace, s report.Status, live *liveState) {
	bound, _ := r.max(n) // was checked
	live.MaxLag = bound.String()
	isClosed := n.Last != 0 // its newest epoch is known, and what has no verdict is missing
	switch {
	case isClosed || bound == units.Lag{}:
		live.MaxLag = ""
	case n.LogDirectory == "":
		live.LagNote = "not compared with the log: give --log-directory"
		live.MaxLag = ""
	default:
		r.compare(ctx, n, s, bound, live)
	}
	isDone := isClosed && s.MissingCount == 0
	isTold := r.lagFlag.given() || r.Config != "" && bound != units.Lag{}
	if !isTold || isDone || r.Redis == "" || r.Redis == queue.Embedded {
		return
	}
	switch {
	case live.QueueNote != "":
		live.found("redis", "%s: nobody can tell whether workers and schedulers are alive", live.QueueNote)
		return
	case *live.Workers == 0:
		live.found("workers", "no worker is alive: nothing is audited until one is started (ktaudit worker)")
	}
	if *live.Schedulers == 0 {
		live.found("schedulers", "no scheduler is alive: new epochs are not noticed, and alerts not sent, until one is started (ktaudit scheduler)")
	}
}

// compare asks the log for its newest epoch.
func (r *statusReader) compare(ctx context.Context, n config.Namespace, s report.Status, bound units.Lag, live *liveState) {
	asking, cancel := context.WithTimeout(ctx, askLogTimeout)
	defer cancel()
	now := time.Now()
	l, err := r.readLag(asking, n, s, live.Newest, now)
	if err != nil {
		live.LagNote = fmt.Sprintf("the log cannot be asked for its newest epoch: %v", err)
		live.unanswered = errors.Join(live.unanswered, fmt.Errorf("%s: %s, so it is not known whether the audit is behind", n.Namespace, live.LagNote))
		return
	}
	live.Lag = &l
	if l.Exceeds(bound.Epochs, bound.Age, now) {
		since := ""
		if !l.Since.IsZero() {
			since = fmt.Sprintf(", since %s", units.DurationText(now.Sub(l.Since).Truncate(time.Second)))
		}
		live.found("behind", "the audit is behind: epochs %s are published and have no verdict%s, more than the allowed %s",
			rangeText(lagRange(l)), since, bound)
	}
}

func (r *statusReader) readLag(ctx context.Context, n config.Namespace, s report.Status, newest *newestVerdict, now time.Time) (l lag.Lag, err error) {
	bucket, err := r.app.openOfLog(ctx, n.Namespace, n.LogDirectory, false)
	if err != nil {
		return lag.Lag{}, err
	}
	defer func() { err = errors.Join(err, bucket.Close()) }()
	c := lag.Config{
		Namespace: n.Namespace, Store: r.store, First: cmp.Or(r.From, n.First, s.From, config.DefaultNamespace().First),
		Log:     fetcher.New(bucket, fetcher.Options{Present: blobstore.Present(n.LogDirectory)}),
		Cadence: n.Cadence, Poll: n.Poll,
	}
	if newest != nil {
		c.Judged, c.JudgedAt = newest.Epoch, newest.FinishedAt
	}
	return lag.Read(ctx, c, now)
}
