package jobstest

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/metrics"
	"github.com/rs/zerolog"
)

// Measure returns metrics, and how to look at their series that are not 0.
func Measure(t *testing.T) (*metrics.Metrics, func() map[string]string) {
	t.Helper()
	m := metrics.New(metrics.Options{Namespaces: []string{Namespace}})
	server, err := m.Serve(t.Context(), "127.0.0.1:0", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	line := regexp.MustCompile(`(?m)^ktaudit_([a-z_]+)\{(.*)\} (\S+)$`)
	value := regexp.MustCompile(`(?:namespace|le)="[^"]*",?|[a-z]+=|"`)
	return m, func() map[string]string {
		series := map[string]string{}
		for _, match := range line.FindAllStringSubmatch(MetricsPage(t, server.Address()), -1) {
			name := match[1] + " " + strings.Trim(value.ReplaceAllString(match[2], ""), ", ")
			if match[3] != "0" && !strings.Contains(name, "bucket") {
				series[strings.TrimSpace(name)] = match[3]
			}
		}
		return series
	}
}

// MetricsPage returns the metrics that a process shows at an address.
func MetricsPage(t testing.TB, address string) string {
	t.Helper()
	response, err := http.Get("http://" + address + "/metrics")
	Must(t, err)
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	Must(t, err)
	return string(page)
}
