package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/api"
	"github.com/ktaudit/ktaudit/auditor/client"
)

const reports = "/namespaces/" + namespace + "/reports"

func reportOf(epoch uint64) string {
	return fmt.Sprintf(`{"version": 1, "ciphersuite": 1, "namespace": %q, "timestamp": 1700000000000, "epoch": %d, "digest": %q, "signature": %q, "serialized_message": null}`,
		namespace, epoch, hexOf(epoch), strings.Repeat("0f", 64))
}

// What a log says that it signed itself is kept, under one name however often it says so.
func TestReports(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var first client.ReportAnswer
	for range 2 {
		var got client.ReportAnswer
		must(t, json.Unmarshal(read(t, w.post(t, reports, reportOf(5)), http.StatusOK), &got))
		if first.ID == "" {
			first = got
		}
		if got.ID != first.ID || len(got.ID) != 36 || !strings.Contains(string(got.Report), hexOf(5)) {
			t.Errorf("%+v", got)
		}
	}
	if len(w.reports) != 2 || w.reports[0].Epoch != 5 || w.reports[0].Digest != hexOf(5) || string(w.reports[0].Data) != string(first.Report) {
		t.Errorf("kept: %+v", w.reports)
	}
	for _, body := range []string{
		strings.Replace(reportOf(5), namespace, "other", 1), strings.Replace(reportOf(5), "0f", "0x", 1), strings.Replace(reportOf(5), "signature", "signatur", 1),
		strings.Replace(reportOf(5), `"ciphersuite": 1, `, `"ciphersuite": "1", `, 1), "{}",
	} {
		wantProblem(t, w.post(t, reports, body), http.StatusBadRequest, "malformed")
	}
	wantProblem(t, w.do(t, http.MethodPost, reports, reportOf(5)), http.StatusUnauthorized, "unauthorized")
	wantProblem(t, w.post(t, reports, strings.Repeat("x", 20_000)), http.StatusRequestEntityTooLarge, "too-large")
}

// A log cannot fill the audit store with what it says of any epochs, and still posts.
func TestNoFloodOfReports(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *api.Config, _ *api.Namespace) { c.Limits.ReportsPerSecond = 1 })
	refused := 0
	for epoch := range uint64(50) {
		if r := w.post(t, reports, reportOf(epoch)); r.StatusCode == http.StatusTooManyRequests {
			wantProblem(t, r, http.StatusTooManyRequests, "too-many-requests")
			refused++
		}
	}
	if refused < 10 || len(w.reports)+refused != 50 {
		t.Errorf("%d are refused, %d kept", refused, len(w.reports))
	}
	w.sign(t, 5, 5)
}

func TestReportsThatAreNotKept(t *testing.T) {
	t.Parallel()
	for kind, c := range map[string]struct {
		keep   func(context.Context, string, api.Report) error
		status int
	}{
		"reports-full": {func(context.Context, string, api.Report) error { return fmt.Errorf("so: %w", api.ErrReportsFull) }, http.StatusConflict},
		"fault":        {func(context.Context, string, api.Report) error { return errors.New("no store") }, http.StatusServiceUnavailable},
		"no-reports":   {nil, http.StatusBadRequest},
	} {
		w := newWorld(t, func(_ *world, a *api.Config, _ *api.Namespace) { a.Report = c.keep })
		wantProblem(t, w.post(t, reports, reportOf(5)), c.status, kind)
	}
}

// managed is a world whose namespaces are managed over the API.
func managed(t *testing.T) *world {
	return newWorld(t, func(w *world, c *api.Config, n *api.Namespace) {
		withArchive(w, c, n)
		all := []api.Namespace{*n}
		c.Namespaces = func() []api.Namespace { return all }
		c.Manage = &api.Manage{
			Who: api.Posters{Token: func() string { return "manager" }},
			Create: func(_ context.Context, n client.NewNamespace) error {
				if n.Name == namespace {
					return api.ErrExists
				}
				all = append(all, api.Namespace{Name: n.Name, Ciphersuite: n.Ciphersuite, LogDirectory: n.LogDirectory})
				return nil
			},
			Disable: func(_ context.Context, name string) error {
				for i := range all {
					if all[i].Name == name {
						all[i].Disabled = true
					}
				}
				return nil
			},
		}
	})
}

// Namespaces are added and disabled by whoever may, and by nobody else.
func TestManage(t *testing.T) {
	t.Parallel()
	w := managed(t)
	create := func(body string) *http.Response {
		return w.do(t, http.MethodPost, "/namespaces", body, "Authorization", "Bearer manager")
	}
	body := func(name string) string {
		return fmt.Sprintf(`{"name": %q, "public": true, "root": "1/%s", "signature_version": 2, "log_directory": "https://x.example"}`, name, hexOf(1))
	}
	r := create(body("new.log"))
	var made client.Namespace
	must(t, json.Unmarshal(read(t, r, http.StatusCreated), &made))
	if r.Header.Get("Location") != "/namespaces/new.log" || made.Name != "new.log" || made.Ciphersuite != 2 || made.LogDirectory != "https://x.example" {
		t.Errorf("%v, %+v", r.Header, made)
	}
	wantProblem(t, create(body(namespace)), http.StatusConflict, "namespace-exists")
	for _, bad := range []string{
		body("../x"), body(""), strings.Replace(body("y"), "1/", "x/", 1), strings.Replace(body("y"), ": 2", ": 3", 1), `{"name": "y"}`,
		strings.Replace(body("y"), ": 2", ": 2, \"ciphersuite\": 1", 1), strings.Replace(body("y"), "https:", "http:", 1), strings.Replace(body("y"), "https://x.example", "x.example", 1),
	} {
		wantProblem(t, create(bad), http.StatusBadRequest, "malformed")
	}
	disable := func(path, status, token string) *http.Response {
		return w.do(t, http.MethodPatch, path, fmt.Sprintf(`{"status": %q}`, status), "Authorization", "Bearer "+token)
	}
	of := "/namespaces/" + namespace
	wantProblem(t, disable(of, "Disabled", token), http.StatusUnauthorized, "unauthorized") // who may post may not do this
	wantProblem(t, disable(of, "Online", "manager"), http.StatusBadRequest, "malformed")
	wantProblem(t, disable(of+"x", "Disabled", "manager"), http.StatusNotFound, "not-found")
	var changed client.Namespace
	must(t, json.Unmarshal(read(t, disable(of, "Disabled", "manager"), http.StatusOK), &changed))
	if changed.Status != client.Disabled {
		t.Errorf("%+v", changed)
	}
	wantProblem(t, w.post(t, audits, postOf(5, hexOf(5))), http.StatusBadRequest, "namespace-disabled")
}

// Where namespaces are the configuration's, there is no way to change them.
func TestNotManaged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	wantProblem(t, w.post(t, "/namespaces", "{}"), http.StatusMethodNotAllowed, "method-not-allowed")
	wantProblem(t, w.do(t, http.MethodPatch, "/namespaces/"+namespace, "{}"), http.StatusMethodNotAllowed, "method-not-allowed")
}

func TestConfigurations(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(c *api.Config){
		"no store":      func(c *api.Config) { c.Store = nil },
		"no namespaces": func(c *api.Config) { c.Namespaces = nil },
		"no origin":     func(c *api.Config) { c.URL = "auditor.example" },
		"a path":        func(c *api.Config) { c.URL = "https://auditor.example/api" },
		"half managed":  func(c *api.Config) { c.Manage = &api.Manage{} },
	} {
		c := api.Config{Store: newWorld(t, nil).store, Namespaces: func() []api.Namespace { return nil }, URL: "http://localhost:8080"}
		if _, err := api.New(c); err != nil {
			t.Fatal(err)
		}
		change(&c)
		if _, err := api.New(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
