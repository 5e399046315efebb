package main

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/report.md")

const ms = time.Millisecond

// exampleSizes are two epochs as measureProcesses measures them.
func exampleSizes() []size {
	akd, ktaudit := contender{label: "akd"}, contender{label: "ktaudit", path: "avx2"}
	return []size{
		{
			input:    input{inserted: 20, unchanged: 60, bytes: 5000},
			together: usage{wall: 30 * ms, cpu: 25 * ms},
			rows: []usageRow{
				{akd, usage{wall: 20 * ms, cpu: 10 * ms, memory: 4e6, memoryAtMost: true}},
				{ktaudit, usage{wall: 16 * ms, cpu: 12 * ms, memory: 20e6}},
			},
		},
		{
			input:    input{inserted: 300000, unchanged: 3700000, bytes: 198e6},
			together: usage{wall: time.Second, cpu: 2 * time.Second},
			rows: []usageRow{
				{akd, usage{wall: 24 * time.Second, cpu: 42 * time.Second, memory: 1200e6}},
				{ktaudit, usage{wall: 554 * ms, cpu: time.Second, memory: 150e6}},
			},
		},
	}
}

var exampleFloors = []floor{{path: "avx2", rate: 100e6, ofCore: 60e6}, {path: "generic", rate: 25e6, ofCore: 14e6}}

// everyTable is all tables, of made-up figures.
func everyTable() string {
	sizes := exampleSizes()
	small := input{inserted: 440, unchanged: 9_560}
	large := input{inserted: 610_000, unchanged: 7_390_000}
	tables := []string{
		startTable(usage{wall: 12 * ms, cpu: 11 * ms, memory: 25e6}, 59e6, 25),
		processesTable(sizes, exampleFloors, 5, "rustc 1.95.0"),
		togetherTable(sizes),
		experimentalTable([]comparison{{large, usage{wall: 100 * ms, cpu: 180 * ms, memory: 50e6}, usage{wall: 150 * ms, cpu: 270 * ms, memory: 51e6}}}, 5),
		insideTable(sizes[:1], 5),
		elementsTable([]cost{{small, usage{wall: 1500 * time.Microsecond, cpu: 2 * ms}}, {large, usage{wall: 800 * ms, cpu: 1600 * ms}}}, 5),
		kernelTable(exampleFloors),
		smallTable([]endToEnd{
			{epochs: 20_000, wall: 20 * time.Second, cpu: 30 * time.Second, byRole: map[string]usage{"run": {cpu: 30 * time.Second, memory: 60e6}}},
			{epochs: 20_000, wall: 16 * time.Second, cpu: 31 * time.Second, byRole: map[string]usage{
				"worker": {cpu: 24 * time.Second, memory: 55e6}, "scheduler": {cpu: 4 * time.Second, memory: 50e6}, "redis": {cpu: 3 * time.Second},
			}},
		}, 3, "A note.\n"),
		farTable(fetched{usage{wall: 12 * time.Second, cpu: 7 * time.Second, memory: 300e6}, 30, 1_200_000_000, 330, 21}, 1_200_000_000, 3),
		scaleTable([]scaled{{
			workers: 4, epochs: 10_000, rate: 1234.5, workerCPU: 12 * time.Second, enqueuing: redisSpent{500 * ms, 40_000, 1_000},
			auditing: redisSpent{1500 * ms, 160_000, 29_000}, idle: redisSpent{20 * ms, 800, 400}, idleFor: 5 * time.Second,
		}}, 3, 2),
	}
	return strings.Join(tables, "\n\n")
}

func TestTables(t *testing.T) {
	t.Parallel()
	got := everyTable()
	if *update {
		if err := os.WriteFile("testdata/report.md", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/report.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got (go test ./internal/benchreport -update):\n%s", diff)
	}
}

func TestTablesHaveEqualRows(t *testing.T) {
	t.Parallel()
	columns := 0
	for line := range strings.Lines(everyTable()) {
		n := strings.Count(line, "|")
		if n > 0 && columns > 0 && n != columns {
			t.Errorf("%q has %d bars, the row before has %d", line, n, columns)
		}
		columns = n
	}
}

// What one Redis can do at most is by the time that it takes for an epoch, and what that feeds by
// the workers' time for one.
func TestLimitOfOneRedis(t *testing.T) {
	t.Parallel()
	s := scaled{epochs: 1000, workerCPU: 2 * time.Second, enqueuing: redisSpent{cpu: 50 * ms}, auditing: redisSpent{cpu: 200 * ms}}
	if s.limit() != 4000 || s.feeds() != 8 {
		t.Errorf("at most %.0f epochs a second, which feeds %.1f cores; want 4000 and 8", s.limit(), s.feeds())
	}
}

func TestCurvesOfContendersAndTheFloor(t *testing.T) {
	t.Parallel()
	got := curves(exampleSizes(), exampleFloors)
	if len(got) != 3 || got[0].Label != "akd" || got[1].Label != "ktaudit" || got[2].Label != "floor (avx2)" || !got[2].Dashed {
		t.Fatalf("curves %+v, want akd's, ktaudit's and a dashed floor", got)
	}
	for _, c := range got {
		if len(c.Points) != 2 || c.Points[0].X != 80 || c.Points[1].X != 4e6 {
			t.Errorf("%s goes through %v, want the two sizes", c.Label, c.Points)
		}
	}
}

func TestRewritePart(t *testing.T) {
	t.Parallel()
	const (
		a    = "<!-- scripts/bench a: begin -->\nof a\n<!-- scripts/bench a: end -->\n"
		b    = "<!-- scripts/bench b: begin -->\nof b\n<!-- scripts/bench b: end -->\n"
		newA = "<!-- scripts/bench a: begin -->\nnew\n<!-- scripts/bench a: end -->\n"
	)
	for _, test := range []struct{ name, old, want, wantErr string }{
		{name: "no part", old: "# Mine\n\ntext\n", want: "# Mine\n\ntext\n\n" + newA},
		{name: "one part", old: "# Mine\n\n" + a + "\nmore\n", want: "# Mine\n\n" + newA + "\nmore\n"},
		{name: "beside another part", old: b + "text\n" + a + b, want: b + "text\n" + newA + b},
		{name: "another part only", old: b, want: b + "\n" + newA},
		{name: "no end", old: "<!-- scripts/bench a: begin -->\nold\n" + b, wantErr: `the mark that ends "a" is missing`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := rewritePart([]byte(test.old), "a", "new\n")
			if test.wantErr != "" {
				if err == nil || err.Error() != test.wantErr {
					t.Errorf("error %v, want %q", err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRewriteDocumentThatIsNotThere(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/performance.md"
	for range 2 { // the second time the part is there
		if err := rewriteDocument(file, "a", "new\n"); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := "# Performance\n\n" + beginMark("a") + "new\n" + endMark("a"); string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFiguresHaveThreeDigits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ got, want string }{
		{duration(23456 * ms), "23.5 s"},
		{duration(999 * ms), "999 ms"},
		{duration(1500 * time.Microsecond), "1.50 ms"},
		{duration(85), "85 ns"},
		{duration(0), "0 ns"},
		{size64(1234567890), "1.23 GB"},
		{size64(19_000_000), "19.0 MB"},
		{size64(5012), "5.01 kB"},
		{count(7), "7"},
		{count(300000), "300,000"},
		{count(3700000), "3,700,000"},
		{ratio(time.Second, 300*ms), "3.3 ×"},
		{ratio(time.Second, 20*ms), "50 ×"},
		{times(3*time.Second, 2*time.Second), "1.50 ×"},
		{percent(1.0, 8.0), "12 %"},
		{percent(int64(1), 0), ""},
		{perSecond(1066.4), "1,070"},
		{perSecond(854.6), "855"},
		{perSecond(58.44), "58.4"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

func TestBusyMachineIsSaid(t *testing.T) {
	t.Parallel()
	const words = "busy with other work"
	a := about{machine: "a processor", date: time.Date(2026, 11, 22, 23, 0, 0, 0, time.UTC)}
	if got := a.String(); got != "Measured on 2026-11-22: a processor.\n" {
		t.Errorf("got %q", got)
	}
	a.busy = 1.5
	if got := a.String(); !strings.Contains(got, "1.5 cores were "+words) {
		t.Errorf("%.1f busy cores are not called busy: %q", a.busy, got)
	}
}
