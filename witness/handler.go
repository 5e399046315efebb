package witness

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/ktaudit/ktaudit/transparency/witnesses"
	"github.com/rs/zerolog"
)

// Handler serves a witness below a prefix, such as "/witness": POST {prefix}/add-checkpoint, and
// GET {prefix}/ with its key and the logs that it witnesses.
func (w *Witness) Handler(prefix string, logger zerolog.Logger) http.Handler {
	prefix = strings.TrimSuffix(prefix, "/")
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+prefix+"/add-checkpoint", func(rw http.ResponseWriter, r *http.Request) { w.serveAdd(rw, r, logger) })
	mux.HandleFunc("GET "+prefix+"/{$}", func(rw http.ResponseWriter, _ *http.Request) { w.serveAbout(rw) })
	return mux
}

func (w *Witness) serveAbout(rw http.ResponseWriter) {
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(rw, "A witness of transparency logs: https://c2sp.org/tlog-witness\n\nIts key:\n%s\n\nLogs that it witnesses:\n", w.Key())
	for _, origin := range w.Origins() {
		fmt.Fprintln(rw, origin)
	}
}

func (w *Witness) serveAdd(rw http.ResponseWriter, r *http.Request, logger zerolog.Logger) {
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, witnesses.MaxRequest))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		http.Error(rw, fmt.Sprintf("more than %d bytes", witnesses.MaxRequest), http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		http.Error(rw, "the request ended early", http.StatusBadRequest)
		return
	}
	line, err := w.Add(r.Context(), body)
	conflict, isConflict := errors.AsType[*ConflictError](err)
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	switch {
	case err == nil:
		_, _ = rw.Write(line)
	case isConflict:
		if conflict.Forked {
			// Both trees are signed: this convicts the log.
			logger.Error().Str("checkpoint", checkpointOf(body)).Msg(err.Error())
		}
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(http.StatusConflict)
		fmt.Fprintf(rw, "%d\n", conflict.Size)
	case errors.Is(err, ErrMalformed):
		http.Error(rw, err.Error(), http.StatusBadRequest)
	case errors.Is(err, ErrNotSigned):
		http.Error(rw, err.Error(), http.StatusForbidden)
	case errors.Is(err, ErrUnknownOrigin):
		http.Error(rw, err.Error(), http.StatusNotFound)
	case errors.Is(err, ErrInconsistent):
		logger.Warn().Str("checkpoint", checkpointOf(body)).Msg(err.Error())
		http.Error(rw, err.Error(), http.StatusUnprocessableEntity)
	case r.Context().Err() != nil:
		http.Error(rw, "the witness is busy", http.StatusServiceUnavailable)
	default:
		logger.Error().Err(err).Msg("a checkpoint could not be cosigned: the audit store is at fault; nothing was signed")
		http.Error(rw, "the witness cannot cosign now", http.StatusInternalServerError) // what is wrong is its operator's business
	}
}

// checkpointOf is the note in a request that was read.
func checkpointOf(body []byte) string {
	_, checkpoint, _ := strings.Cut(string(body), "\n\n")
	return checkpoint
}
