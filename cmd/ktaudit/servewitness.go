package main

import (
	"errors"
	"fmt"
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
	// maxWitnessed is how many requests are answered at once: anybody may send some, of 64 KiB.
	maxWitnessed = 64
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
	handler := w.Handler(witnessPrefix, s.a.log)
	slots := make(chan struct{}, maxWitnessed)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, witnessPrefix+"/") {
			rest.ServeHTTP(rw, r)
			return
		}
		began, answer := time.Now(), &statusWriter{ResponseWriter: rw, status: http.StatusOK}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			handler.ServeHTTP(answer, r)
		default:
			answer.Header().Set("Retry-After", "1")
			http.Error(answer, "the witness is busy", http.StatusServiceUnavailable)
		}
		s.metrics.Request(r.Method, "witness", answer.status, time.Since(began))
	})
}

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
