package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/ktaudit/ktaudit/auditor"
)

// kind is a kind of problem: the last part of its type's path, with the status and what it means.
type kind struct {
	name   string
	status int
	title  string
	text   string
}

// The kinds of problems, after RFC 9457. Their names are for ever: clients tell them apart by
// these.
var (
	kindNotFound     = kind{"not-found", http.StatusNotFound, "not found", "There is none, or not yet."}
	kindMethod       = kind{"method-not-allowed", http.StatusMethodNotAllowed, "method not allowed", "The header Allow has the methods of this path."}
	kindMalformed    = kind{"malformed", http.StatusBadRequest, "malformed request", "The detail says what is wrong. To repeat the request is of no use."}
	kindTooLarge     = kind{"too-large", http.StatusRequestEntityTooLarge, "body too large", "The body is larger than any that makes sense here."}
	kindSlow         = kind{"timeout", http.StatusRequestTimeout, "body too slow", "The body did not come in time. Send it again."}
	kindUnauthorized = kind{"unauthorized", http.StatusUnauthorized, "not authorized", "Only the log itself may do this: with its client certificate, or its bearer token."}
	kindForbidden    = kind{"forbidden", http.StatusForbidden, "not allowed", "The client certificate or token is not one that may do this."}
	kindDisabled     = kind{"namespace-disabled", http.StatusBadRequest, "namespace is disabled", "What was signed stays readable, and nothing is signed any more."}
	kindNotSigned    = kind{"not-signed-here", http.StatusBadRequest, "nothing is signed here", "This auditor audits the log, and does not sign its digests."}
	kindNoReports    = kind{"no-reports", http.StatusBadRequest, "no reports are taken", "This auditor takes no reports."}
	kindConflict     = kind{"conflict", http.StatusConflict, "another digest is signed",
		"Another digest was signed for the epoch before. That two were posted is on record as evidence. The member signed is the signed digest. To repeat the request is of no use."}
	kindReused = kind{"digest-reused", http.StatusConflict, "digest is that of another epoch",
		"A digest is signed for one epoch only; the member signed_epoch is that epoch. To repeat the request is of no use."}
	kindGap = kind{"epoch-gap", http.StatusConflict, "not the next epoch",
		"Epochs are signed in order. Post the epoch in the member expected_epoch next, and then those after it."}
	kindRoot = kind{"root-mismatch", http.StatusConflict, "not where signing begins",
		"The member root says where signing begins: the first epoch and its digest. Only later epochs are signed."}
	kindNotVerified = kind{"not-verified", http.StatusConflict, "not verified",
		"This auditor signs what it has verified. Post the same again later; if the epoch was rejected, that is of no use."}
	kindReportsFull = kind{"reports-full", http.StatusConflict, "too many reports on the epoch", "As many reports on the epoch are on record as are kept."}
	kindExists      = kind{"namespace-exists", http.StatusConflict, "there is a namespace of that name", "Names of namespaces are used once."}
	kindTooMany     = kind{"too-many-requests", http.StatusTooManyRequests, "too many requests", "Come again after the seconds in the header Retry-After."}
	kindBusy        = kind{"busy", http.StatusServiceUnavailable, "busy", "Come again after the seconds in the header Retry-After."}
	kindClock       = kind{"clock", http.StatusServiceUnavailable, "clock is off", "This auditor's clock is off and signs nothing until it is set right. Post the same again later."}
	kindFault       = kind{"fault", http.StatusServiceUnavailable, "temporarily unavailable",
		"Something does not work at the moment. A post may have taken effect or not: repeat it, and the answer says which."}
)

var kinds = []kind{
	kindNotFound, kindMethod, kindMalformed, kindTooLarge, kindSlow, kindUnauthorized, kindForbidden, kindDisabled, kindNotSigned, kindNoReports,
	kindConflict, kindReused, kindGap, kindRoot, kindNotVerified, kindReportsFull, kindExists, kindTooMany, kindBusy, kindClock, kindFault,
}

// problem is an error as clients are told of it.
type problem struct {
	kind       kind
	detail     string
	retryAfter time.Duration
	members
	challenge string // WWW-Authenticate
	hangUp    bool   // the body is not read
}

// members are what a problem of some kinds has beside what all have.
type members struct {
	ExpectedEpoch *uint64         `json:"expected_epoch,omitempty"`
	SignedEpoch   *uint64         `json:"signed_epoch,omitempty"`
	Root          string          `json:"root,omitempty"`
	Signed        json.RawMessage `json:"signed,omitempty"`
}

// problemObject is the JSON of a problem.
type problemObject struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	members
}

func (p *problem) Error() string { return p.detail }

func notFound(format string, args ...any) error {
	return &problem{kind: kindNotFound, detail: fmt.Sprintf(format, args...)}
}

func malformed(format string, args ...any) error {
	return &problem{kind: kindMalformed, detail: fmt.Sprintf(format, args...)}
}

// signingProblem is what a client is told of an error of auditor.Sign. What it doesn't know is a
// fault, of which clients learn nothing.
func signingProblem(err error) error {
	if e, ok := errors.AsType[*auditor.ConflictError](err); ok {
		return &problem{kind: kindConflict, detail: e.Error()}
	}
	if e, ok := errors.AsType[*auditor.GapError](err); ok {
		return &problem{kind: kindGap, detail: e.Error(), members: members{ExpectedEpoch: &e.Expected}}
	}
	if e, ok := errors.AsType[*auditor.ReusedError](err); ok {
		return &problem{kind: kindReused, detail: e.Error(), members: members{SignedEpoch: &e.Earlier}}
	}
	if e, ok := errors.AsType[*auditor.RootError](err); ok {
		return &problem{kind: kindRoot, detail: e.Error(), members: members{Root: e.Root.String()}}
	}
	return err
}

// retryFault is when a client may come again after a fault.
const retryFault = 5 * time.Second

// answerError tells a client of an error. One that is no problem is a fault: it is logged, and its
// text, which may have paths and addresses in it, stays here.
func (a *api) answerError(w http.ResponseWriter, r *http.Request, err error) {
	p, ok := errors.AsType[*problem](err)
	if !ok {
		if r.Context().Err() == nil || !errors.Is(err, context.Canceled) {
			a.faults.note(r, err)
		}
		p = &problem{kind: kindFault, detail: "this auditor cannot answer at the moment", retryAfter: retryFault}
		if errors.Is(err, auditor.ErrClock) {
			p = &problem{kind: kindClock, detail: auditor.ErrClock.Error(), retryAfter: time.Minute}
		}
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store") // what is not there may be there in a second
	h.Del("ETag")
	h.Del("Content-Disposition")
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(p.retryAfter.Seconds())))
	}
	if p.challenge != "" {
		h.Set("WWW-Authenticate", p.challenge)
	}
	if p.hangUp {
		h.Set("Connection", "close")
		_ = http.NewResponseController(w).SetReadDeadline(time.Now()) // or else the server would wait for the body
	}
	data, err := json.Marshal(problemObject{Type: "/problems/" + p.kind.name, Title: p.kind.title, Status: p.kind.status, Detail: p.detail, members: p.members})
	if err != nil {
		data = nil
	}
	w.WriteHeader(p.kind.status)
	_, _ = w.Write(append(data, '\n')) // the client may be gone
}

// showProblem explains a kind of problem to whoever follows its type.
func (a *api) showProblem(w http.ResponseWriter, r *http.Request) error {
	for _, k := range kinds {
		if k.name == r.PathValue("problem") {
			return a.send(w, r, []byte(fmt.Sprintf("%s (%d)\n\n%s\n", k.title, k.status, k.text)), sent{"text/plain; charset=utf-8", forAnHour})
		}
	}
	return notFound("there is no such problem")
}
