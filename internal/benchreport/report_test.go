package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// example is a report as a run of two sizes makes it.
func example() report {
	return report{
		machine: "a processor, 2 cores", oracleBy: "rustc 1.95.0", runs: 5,
		date:   time.Date(2026, 11, 22, 23, 0, 0, 0, time.UTC),
		floors: []floor{{path: "avx2", rate: 100e6}, {path: "generic", rate: 25e6}},
		sizes: []size{
			{
				input:    input{inserted: 20, unchanged: 60, bytes: 5000},
				together: 30 * time.Millisecond,
				rows: []row{
					{contender: contender{label: "akd"}, usage: usage{wall: 20 * time.Millisecond, cpu: 10 * time.Millisecond, memory: 4e6, memoryAtMost: true}, inside: time.Millisecond},
					{contender: contender{label: "ktaudit", path: "avx2"}, usage: usage{wall: 16 * time.Millisecond, cpu: 12 * time.Millisecond, memory: 20e6}, inside: 125 * time.Microsecond},
				},
			},
			{
				input:    input{inserted: 300000, unchanged: 3700000, bytes: 198e6},
				together: time.Second,
				rows: []row{
					{contender: contender{label: "akd"}, usage: usage{wall: 24 * time.Second, cpu: 42 * time.Second, memory: 1200e6}},
					{contender: contender{label: "ktaudit", path: "avx2"}, usage: usage{wall: 554 * time.Millisecond, cpu: time.Second, memory: 150e6}},
				},
			},
		},
	}
}

func TestMarkdownHoldsEveryFigure(t *testing.T) {
	t.Parallel()
	got := example().markdown()
	for _, want := range []string{
		"## Measured on 2026-11-22\n\nMachine: a processor, 2 cores. akd 0.13.0 with its default features, built by rustc 1.95.0.\n",
		"; medians of 5. ",
		"| 20 | 60 | 5.00 kB | akd | 20.0 ms |  | 10.0 ms | ≤ 4.00 MB |  | 250 µs |  |  |\n",
		"| | | | ktaudit | 16.0 ms | 1.2 × | 12.0 ms | 20.0 MB | 500 % | 200 µs | 5.40 µs | 0 % |\n",
		"| 300,000 | 3,700,000 | 198 MB | akd | 24.0 s |  | 42.0 s | 1.20 GB |  | 6.00 µs |  |  |\n",
		"| | | | ktaudit | 554 ms | 43 × | 1.00 s | 150 MB | 12 % | 138 ns | 277 ms | 50 % |\n",
		"| 20 | 60 | ktaudit | 125 µs | 8.0 × |\n",
		"| 300,000 | 1.00 s | 1.11 s | 111 % |\n",
		"| avx2 | 100 million |\n| generic | 25 million |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

func TestTablesHaveEqualRows(t *testing.T) {
	t.Parallel()
	columns := 0
	for line := range strings.Lines(example().markdown()) {
		n := strings.Count(line, "|")
		if n > 0 && columns > 0 && n != columns {
			t.Errorf("%q has %d bars, the row before has %d", line, n, columns)
		}
		columns = n
	}
}

func TestPlotIsXMLWithACurveForEachContenderAndTheFloor(t *testing.T) {
	t.Parallel()
	drawn := map[string]int{}
	decoder := xml.NewDecoder(strings.NewReader(string(example().svg())))
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

func TestPlotOfOneSizeHasFinitePlaces(t *testing.T) {
	t.Parallel()
	r := example()
	r.sizes = r.sizes[:1]
	if got := string(r.svg()); strings.Contains(got, "NaN") || strings.Contains(got, "Inf") {
		t.Error(got)
	}
}

func TestRewriteSection(t *testing.T) {
	t.Parallel()
	const section = beginMark + "new\n\n![Time of a verification against the size of an epoch](p.svg)\n" + endMark
	for _, test := range []struct {
		name      string
		old, want string
		absent    bool
		wantErr   string
	}{
		{name: "no document", absent: true, want: "# Performance\n\n" + section},
		{name: "no section", old: "# Mine\n\ntext\n", want: "# Mine\n\ntext\n\n" + section},
		{name: "a section", old: "# Mine\n\n" + beginMark + "old\n" + endMark + "\nmore\n", want: "# Mine\n\n" + section + "\nmore\n"},
		{name: "no end", old: "# Mine\n" + beginMark + "old\n", wantErr: "the mark that ends"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			document := filepath.Join(t.TempDir(), "performance.md")
			if !test.absent {
				if err := os.WriteFile(document, []byte(test.old), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			err := rewriteSection(document, "new\n", "some/where/p.svg")
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) {
					t.Errorf("error %v, want %q", err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(document)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFiguresHaveThreeDigits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ got, want string }{
		{duration(23456 * time.Millisecond), "23.5 s"},
		{duration(999 * time.Millisecond), "999 ms"},
		{duration(1500 * time.Microsecond), "1.50 ms"},
		{duration(85 * time.Nanosecond), "85 ns"},
		{duration(0), "0 ns"},
		{size64(1234567890), "1.23 GB"},
		{size64(19_000_000), "19.0 MB"},
		{size64(5012), "5.01 kB"},
		{count(7), "7"},
		{count(300000), "300,000"},
		{count(3700000), "3,700,000"},
		{ratio(time.Second, 300*time.Millisecond), "3.3 ×"},
		{ratio(time.Second, 20*time.Millisecond), "50 ×"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

func TestBusyMachineIsSaid(t *testing.T) {
	t.Parallel()
	r := example()
	const words = "busy with other work"
	if strings.Contains(r.markdown(), words) {
		t.Errorf("%.1f busy cores are called busy", r.busyCores)
	}
	r.busyCores = 1.5
	if !strings.Contains(r.markdown(), words) {
		t.Errorf("%.1f busy cores are not called busy", r.busyCores)
	}
}
