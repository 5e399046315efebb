package api

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"
	"github.com/ktaudit/ktaudit/auditor/client"
)

// Report is a log's word that it signed a digest itself, while this auditor was away. It shows
// nothing but that it was made.
type Report struct {
	ID     string // a UUID, the same for the same report
	Epoch  uint64
	Digest string // 64 lower-case hexadecimal digits
	Data   []byte // the report in JSON, compact, as it came
}

// postReport keeps a log's report.
func (a *api) postReport(w http.ResponseWriter, r *http.Request) error {
	n, err := a.namespace(r)
	if err != nil {
		return err
	}
	if a.c.Report == nil {
		if _, err := n.Posters.admit(r); err != nil {
			return err
		}
		return &problem{kind: kindNoReports, detail: "this auditor takes no reports", hangUp: true}
	}
	_, body, err := a.admitPost(w, r, n, maxReport)
	if err != nil {
		return err
	}
	report, err := parseReport(n.Name, body)
	if err != nil {
		return err
	}
	if err := a.reported.take(n.Name); err != nil {
		return err
	}
	leave, err := a.enterPost(n.Name)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(r.Context(), postTimeout)
	defer cancel()
	err = a.c.Report(ctx, n.Name, report)
	if errors.Is(err, ErrReportsFull) {
		return &problem{kind: kindReportsFull, detail: fmt.Sprintf("no more reports on epoch %d are kept", report.Epoch)}
	}
	if err != nil {
		return err
	}
	data, err := encode(client.ReportAnswer{ID: report.ID, Report: report.Data})
	if err != nil {
		return err
	}
	return sendChanged(w, data, http.StatusOK)
}

func parseReport(namespace string, body []byte) (Report, error) {
	var shown client.Report
	if err := parse(body, &shown, "namespace", "timestamp", "epoch", "digest", "signature"); err != nil {
		return Report{}, err
	}
	p, err := parsePost(body)
	if err != nil {
		return Report{}, err
	}
	signature, err := hex.DecodeString(shown.Signature)
	switch {
	case shown.Namespace != namespace:
		return Report{}, malformed("the report is of another namespace")
	case err != nil || len(signature) != 64:
		return Report{}, malformed("the signature is not 128 hexadecimal digits")
	case shown.Version == 0 && shown.Ciphersuite == 0:
		return Report{}, malformed("the field ciphersuite is missing")
	}
	var data bytes.Buffer
	if err := json.Compact(&data, body); err != nil {
		return Report{}, malformed("the body is not JSON")
	}
	id := uuid.NewSHA1(idSpace, append([]byte("report\n"), data.Bytes()...))
	return Report{ID: id.String(), Epoch: p.epoch, Digest: strings.ToLower(shown.Digest), Data: data.Bytes()}, nil
}

// idSpace is the name space of the UUIDs that are made here, so that the same thing has the same
// one at each replica. It is for ever.
var idSpace = uuid.MustParse("5f0a4c1e-6f55-4d5a-9a54-8b8b8f0e7d21")

// sendChanged answers to a request that changed something, with JSON.
func sendChanged(w http.ResponseWriter, data []byte, status int) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(data) // the client may be gone
	return nil
}
