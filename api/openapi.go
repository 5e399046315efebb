package api

import (
	_ "embed"
	"net/http"
)

//go:embed openapi.json
var openAPIDocument []byte

func (a *api) openAPI(w http.ResponseWriter, r *http.Request) error {
	return a.send(w, r, openAPIDocument, sent{"application/json", forAnHour})
}
