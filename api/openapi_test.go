package api_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/ktaudit/ktaudit/api"
	"github.com/ktaudit/ktaudit/jobs/incident"
	"github.com/ktaudit/ktaudit/verdict"
)

// document is the OpenAPI document as it is served.
func document(t *testing.T, w *world) *openapi3.T {
	t.Helper()
	loader := openapi3.NewLoader()
	d, err := loader.LoadFromData(read(t, w.do(t, http.MethodGet, "/openapi.json", ""), http.StatusOK))
	must(t, err)
	must(t, d.Validate(loader.Context))
	return d
}

// The document has the routes that there are, no more and no fewer.
func TestOpenAPIRoutes(t *testing.T) {
	t.Parallel()
	w := managed(t)
	routes, err := api.Routes(w.config)
	must(t, err)
	var have, documented []string
	for path, methods := range routes {
		for _, method := range methods {
			have = append(have, method+" "+path)
		}
	}
	for path, item := range document(t, w).Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	slices.Sort(have)
	slices.Sort(documented)
	if !slices.Equal(have, documented) {
		t.Errorf("there are\n%s\nand documented are\n%s", strings.Join(have, "\n"), strings.Join(documented, "\n"))
	}
}

// Every kind of problem is explained where its type says, and named in the document.
func TestProblems(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	text := string(read(t, w.do(t, http.MethodGet, "/openapi.json", ""), http.StatusOK))
	for _, kind := range api.Kinds() {
		if got := read(t, w.do(t, http.MethodGet, "/problems/"+kind, ""), http.StatusOK); len(got) < 20 {
			t.Errorf("%s: %s", kind, got)
		}
		if !strings.Contains(text, kind) {
			t.Errorf("%s is not in the document", kind)
		}
	}
}

// Every operation of the document answers as the document says.
func TestOpenAPIAnswers(t *testing.T) {
	t.Parallel()
	w := managed(t)
	w.sign(t, 5, 6)
	w.verify(t, 1, 4)
	archive(t, w, 5, "", []byte("a batch"), sumOf([]byte("a batch")))
	w.judge(t, verdict.Verdict{Epoch: 6, Outcome: verdict.Rejected, Reason: "digest_mismatch", Detail: "so"})
	w.verify(t, 8, 8)
	must(t, w.store.PutOverruling(t.Context(), verdict.Overruling{
		Schema: verdict.Schema, Namespace: namespace, Epoch: 6, Number: 1, By: "me", Reason: "a wrong key", At: time.Now().UTC(),
		Overruled: verdict.Overruled{Outcome: verdict.Rejected, Reason: "digest_mismatch", SHA256: sumOf(nil)},
		Verdict:   verdict.Verdict{Schema: verdict.Schema, Namespace: namespace, Epoch: 6, Outcome: verdict.Rejected, Reason: "other"},
	}))
	must(t, incident.Recorder{Store: w.store}.Raise(t.Context(), equivocation(6)))
	d := document(t, w)
	of := "/namespaces/" + namespace
	undriven := map[string]bool{}
	for path, item := range d.Paths.Map() {
		for method := range item.Operations() {
			undriven[method+" "+path] = true
		}
	}
	good := postOf(7, hexOf(7))
	create := fmt.Sprintf(`{"name": "new", "public": true, "root": "1/%s", "ciphersuite": 1}`, hexOf(1))
	for _, c := range []struct {
		method, path, body, token string
		status                    int
		template                  string
	}{
		{"GET", "/info", "", "", 200, "/info"},
		{"GET", "/namespaces", "", "", 200, "/namespaces"},
		{"POST", "/namespaces", create, "manager", 201, "/namespaces"},
		{"POST", "/namespaces", create, "", 401, "/namespaces"},
		{"POST", "/namespaces", "{}", "manager", 400, "/namespaces"},
		{"GET", of, "", "", 200, "/namespaces/{namespace}"},
		{"GET", of + "x", "", "", 404, "/namespaces/{namespace}"},
		{"GET", of + "/audits/5", "", "", 200, "/namespaces/{namespace}/audits/{epoch}"},
		{"GET", of + "/audits/50", "", "", 404, "/namespaces/{namespace}/audits/{epoch}"},
		{"POST", of + "/audits", good, token, 200, "/namespaces/{namespace}/audits"},
		{"POST", of + "/audits", postOf(7, hexOf(8)), token, 409, "/namespaces/{namespace}/audits"},
		{"POST", of + "/audits", postOf(9, hexOf(8)), token, 409, "/namespaces/{namespace}/audits"},
		{"POST", of + "/audits", postOf(8, hexOf(5)), token, 409, "/namespaces/{namespace}/audits"},
		{"POST", of + "/audits", postOf(3, hexOf(3)), token, 409, "/namespaces/{namespace}/audits"},
		{"POST", of + "/audits", good, "another", 401, "/namespaces/{namespace}/audits"},
		{"POST", of + "/audits", "", token, 400, "/namespaces/{namespace}/audits"},
		{"POST", of + "/audits", strings.Repeat(" ", 5000), token, 413, "/namespaces/{namespace}/audits"},
		{"POST", of + "/reports", reportOf(7), token, 200, "/namespaces/{namespace}/reports"},
		{"GET", of + "/last-verified-epoch", "", "", 200, "/namespaces/{namespace}/last-verified-epoch"},
		{"GET", of + "/verdicts", "", "", 200, "/namespaces/{namespace}/verdicts"},
		{"GET", of + "/verdicts?from=x", "", "", 400, "/namespaces/{namespace}/verdicts"},
		{"GET", of + "/verdicts/5", "", "", 200, "/namespaces/{namespace}/verdicts/{epoch}"},
		{"GET", of + "/verdicts/6", "", "", 200, "/namespaces/{namespace}/verdicts/{epoch}"},
		{"GET", of + "/status", "", "", 200, "/namespaces/{namespace}/status"},
		{"GET", of + "/incidents", "", "", 200, "/namespaces/{namespace}/incidents"},
		{"GET", of + "/evidence/6", "", "", 200, "/namespaces/{namespace}/evidence/{epoch}"},
		{"GET", of + "/evidence/4", "", "", 404, "/namespaces/{namespace}/evidence/{epoch}"},
		{"GET", nameOf(5), "", "", 200, "/{epoch}/{previous}/{digest}"},
		{"GET", nameOf(50), "", "", 404, "/{epoch}/{previous}/{digest}"},
		{"GET", "/problems/epoch-gap", "", "", 200, "/problems/{problem}"},
		{"GET", "/openapi.json", "", "", 200, "/openapi.json"},
		{"PATCH", of, `{"status": "Disabled"}`, "manager", 200, "/namespaces/{namespace}"},
		{"PATCH", of, `{"status": "Online"}`, "manager", 400, "/namespaces/{namespace}"},
		{"POST", of + "/audits", good, token, 400, "/namespaces/{namespace}/audits"},
	} {
		header := []string{}
		if c.token != "" {
			header = append(header, "Authorization", "Bearer "+c.token)
		}
		answer := w.do(t, c.method, c.path, c.body, header...)
		body := read(t, answer, c.status)
		if c.status < 300 {
			delete(undriven, c.method+" "+c.template)
		}
		checkDocumented(t, d, c.template, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)), answer, body)
		if tag := answer.Header.Get("ETag"); tag != "" {
			again := w.do(t, c.method, c.path, "", "If-None-Match", tag)
			body := read(t, again, http.StatusNotModified)
			checkDocumented(t, d, c.template, httptest.NewRequest(c.method, c.path, nil), again, body)
		}
	}
	for operation := range undriven {
		t.Errorf("%s is never asked for", operation)
	}
}

// checkDocumented checks an answer, and a request that was taken, against the document.
func checkDocumented(t *testing.T, d *openapi3.T, template string, r *http.Request, answer *http.Response, body []byte) {
	t.Helper()
	item := d.Paths.Value(template)
	operation := item.GetOperation(r.Method)
	if operation == nil {
		t.Fatalf("%s %s is not documented", r.Method, template)
	}
	input := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: pathParams(template, r.URL.Path), QueryParams: r.URL.Query(),
		Route:   &routers.Route{Spec: d, Path: template, PathItem: item, Method: r.Method, Operation: operation},
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	if answer.StatusCode < 300 {
		r.Header.Set("Content-Type", "application/json")
		if err := openapi3filter.ValidateRequest(t.Context(), input); err != nil {
			t.Errorf("%s %s is taken: %v", r.Method, r.URL, err)
		}
	}
	if kind := answer.Header.Get("Content-Type"); kind == "application/octet-stream" || kind == "application/zstd" {
		if response := operation.Responses.Status(answer.StatusCode); response.Value.Content[kind] == nil {
			t.Errorf("%s %s: %s is not documented", r.Method, r.URL, kind)
		}
		return
	}
	err := openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: answer.StatusCode, Header: answer.Header, Options: input.Options,
		Body: io.NopCloser(bytes.NewReader(body)),
	})
	if err != nil {
		t.Errorf("%s %s: %d: %v\n%s", r.Method, r.URL, answer.StatusCode, err, body)
	}
}

func pathParams(template, path string) map[string]string {
	params, parts := map[string]string{}, strings.Split(path, "/")
	for i, part := range strings.Split(template, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			params[strings.TrimSuffix(name, "}")] = parts[i]
		}
	}
	return params
}
