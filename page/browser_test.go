package page

import (
	"fmt"
	"testing"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
)

// TestBrowser has scripts/browser/page.mjs look at the page in Chromium.
func TestBrowser(t *testing.T) {
	t.Parallel()
	w := newBrowserWorld(t)
	good, bad := w.batchFiles(t, judged)
	newest, err := w.Store.Verdict(t.Context(), jobstest.Namespace, judged)
	jobstest.Must(t, err)
	testservers.Browser(t, "page.mjs", map[string]any{
		"base": w.server.URL + "/", "origins": []string{w.server.URL}, "log": jobstest.Namespace, "million": million, "broken": broken,
		"head": judged, "rejected": 3, "digest": newest.Digest, "batch": good, "badBatch": bad,
		"otherKey": tlogtest.New(w.verifier.Name()).Verifier(),
	}, func(what string) error {
		switch what {
		case "epoch", "incident": // the epoch after the good ones is tampered with
			w.audit(t)
			return w.page.Round(t.Context(), jobstest.Namespace)
		}
		return fmt.Errorf("there is no %q", what)
	})
}
