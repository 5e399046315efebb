package client

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/ktaudit/ktaudit/internal/text"
)

var (
	// ErrNotFound: the auditor answers that there is none, or not yet: retry later. It says the
	// same for a namespace that it does not know.
	ErrNotFound = errors.New("the auditor has none")
	// ErrMalformed: the answer is none that an auditor gives. A proxy or a login page may have
	// answered, so it says nothing about the auditor: retry later.
	ErrMalformed = errors.New("not an auditor's answer")

	errRedirect = errors.New("redirect refused")
)

// StatusError is an answer with a status that says that there is no other. What may pass, by
// MayPass, is to be asked again, after After if that is not 0.
type StatusError struct {
	URL    string
	Status int
	After  time.Duration // what Retry-After asked for, up to an hour
	Detail string        // the server's words, if it had any, fit to be printed
}

func (e *StatusError) Error() string {
	said := fmt.Sprintf("%s: %d %s", text.Clean(e.URL, maxShownURL), e.Status, http.StatusText(e.Status))
	if e.Detail != "" {
		said += ": " + e.Detail
	}
	if e.After > 0 {
		said += fmt.Sprintf(" (it asks to wait %s)", e.After.Round(time.Second))
	}
	return said
}

// MayPass reports whether the same request may be answered otherwise later.
func (e *StatusError) MayPass() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return e.Status >= 500
}
