package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/auditor"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/witness"
)

const (
	// witnessPrefix, after the origin, is the submission prefix of the witness.
	witnessPrefix = "/witness"
	// maxReading is how many requests are received at once, of maxRequest bytes; anybody may send
	// some, slowly. maxWitnessed is how many of those that are here are answered at once.
	maxReading, maxWitnessed = 1024, 64
	maxRequest               = 64 << 10
)

// witness returns the witness that the configuration has.
func (s serving) witness(settings *config.Config) (*witness.Witness, error) {
	c := settings.Witness
	if !c.IsOn() {
		return nil, errors.New("--witness: the configuration file has no section witness, with a name, a key and logs")
	}
	text, err := c.Key.Text()
	if err != nil {
		return nil, fmt.Errorf("witness.key: %w", err)
	}
	key, err := auditor.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("witness.key: %w", err)
	}
	var logs []witness.Log
	for _, l := range c.Logs {
		logs = append(logs, witness.Log{Key: l.Key, Origin: l.Origin})
	}
	w, err := witness.New(s.store, c.Name, key, logs)
	if err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	s.a.log.Info().Str("key", w.Key()).Strs("logs", w.Origins()).Str("path", witnessPrefix+"/").Msg("cosigning checkpoints")
	return w, nil
}

// withWitness serves a witness beside everything else.
func (s serving) withWitness(rest http.Handler, w *witness.Witness) http.Handler {
	handler := boundedWitness(w.Handler(witnessPrefix, s.a.log))
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, witnessPrefix+"/") {
			rest.ServeHTTP(rw, r)
			return
		}
		began, answer := time.Now(), &statusWriter{ResponseWriter: rw, status: http.StatusOK}
		handler.ServeHTTP(answer, r)
		s.metrics.Request(r.Method, "witness", answer.status, time.Since(began))
	})
}

// boundedWitness bounds what a witness receives, and answers, at once.
func boundedWitness(handler http.Handler) http.Handler {
	reading, slots := make(chan struct{}, maxReading), make(chan struct{}, maxWitnessed)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		busy := func() {
			rw.Header().Set("Retry-After", "1")
			http.Error(rw, "the witness is busy", http.StatusServiceUnavailable)
		}
		select {
		case reading <- struct{}{}:
		default:
			busy()
			return
		}
		received := receive(rw, r)
		<-reading
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			handler.ServeHTTP(rw, received)
		default:
			busy()
		}
	})
}

// receive reads the body of a request, so that a slow sender keeps nobody else from being answered.
// One that is too long, or ends early, is left to whoever answers: what is read of it is too long,
// or fails again.
func receive(rw http.ResponseWriter, r *http.Request) *http.Request {
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxRequest+1))
	var rest io.Reader = bytes.NewReader(body)
	if tooLarge := (*http.MaxBytesError)(nil); err != nil && !errors.As(err, &tooLarge) {
		rest = io.MultiReader(rest, failing{err})
	}
	received := r.WithContext(r.Context())
	received.Body = io.NopCloser(rest)
	return received
}

// failing is a body that ended with an error.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController and http.MaxBytesReader.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
