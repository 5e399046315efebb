package deploy

import (
	"os"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// TestDashboard reads the dashboard by Grafana's own schema, which knows the fields of dashboards,
// of these kinds of panels and of queries to Prometheus.
func TestDashboard(t *testing.T) {
	t.Parallel()
	runtime := cog.NewRuntime()
	runtime.RegisterPanelcfgVariant(stat.VariantConfig())
	runtime.RegisterPanelcfgVariant(table.VariantConfig())
	runtime.RegisterPanelcfgVariant(timeseries.VariantConfig())
	runtime.RegisterDataqueryVariant(prometheus.VariantConfig())
	text, err := os.ReadFile("grafana/ktaudit.json")
	if err != nil {
		t.Fatal(err)
	}
	problems := func(text string) string {
		//lint:ignore SA1019 the file is of the form that Grafana of any age reads
		var d dashboard.Dashboard
		if err := d.UnmarshalJSONStrict([]byte(text)); err != nil && err.Error() != "" { // it is an empty list where all is well
			return err.Error()
		}
		if err := d.Validate(); err != nil {
			return err.Error()
		}
		return ""
	}
	if p := problems(string(text)); p != "" {
		t.Error(p)
	}
	for name, c := range map[string][2]string{
		"a field of a dashboard": {`"refresh": "30s"`, `"refreshing": "30s"`},
		"a field of a query":     {`"expr":`, `"expression":`},
		"an option of a panel":   {`"graphMode":`, `"graphMod":`},
		"a type":                 {`"schemaVersion": 39`, `"schemaVersion": "39"`},
	} {
		wrong := strings.Replace(string(text), c[0], c[1], 1)
		if wrong == string(text) || problems(wrong) == "" {
			t.Errorf("%s is not looked at", name)
		}
	}
}
