package plot

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestSVGIsXMLWithEveryCurve(t *testing.T) {
	t.Parallel()
	drawn := map[string]int{}
	decoder := xml.NewDecoder(strings.NewReader(string(SVG("a & b", "<elements>", []Curve{
		{Label: "a<b", Points: []Point{{80, 0.02}, {4e6, 24}}},
		{Label: "b", Points: []Point{{80, 0.01}, {4e6, 0.5}}},
		{Label: "floor", Dashed: true, Points: []Point{{80, 5e-6}, {4e6, 0.2}}},
	}))))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok {
			drawn[start.Name.Local]++
		}
	}
	if drawn["polyline"] != 3 || drawn["circle"] != 4 {
		t.Errorf("drew %v, want 3 polylines and 4 circles", drawn)
	}
}

func TestSVGOfOnePointHasFinitePlaces(t *testing.T) {
	t.Parallel()
	if got := string(SVG("", "", []Curve{{Points: []Point{{100, 0.001}}}})); strings.Contains(got, "NaN") || strings.Contains(got, "Inf") {
		t.Error(got)
	}
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for power, want := range map[float64]string{1: "1", 100: "100", 1000: "1,000", 1e7: "10,000,000"} {
		if got := thousands(power); got != want {
			t.Errorf("%g is written %q, want %q", power, got, want)
		}
	}
}
