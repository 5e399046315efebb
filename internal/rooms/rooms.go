// Package rooms holds the shape of the project: which package may import which, that public
// packages take only public types, how large a package and a file may grow, and how wide a comment.
// Its test fails on a line that breaks the rules; nothing imports it.
package rooms

import (
	"bufio"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxFileLines    = 400
	maxPackageLines = 2000
	// maxCommentColumns is for lines that hold nothing but a comment, with tabs of four columns.
	maxCommentColumns = 100
)

// low are the packages at the bottom, which import nothing above them and which every room may
// import.
var low = []string{
	"verdict", "verdict/epochset", "jobs/observe",
	"internal/wait", "internal/text", "internal/spelling", "internal/resume", "internal/cron", "internal/cgroup",
	"internal/redisurl", "internal/patience", "internal/httpcache", "internal/clientca", "internal/summarycache", "internal/reload", "internal/tlsfiles", "internal/secret", "internal/units",
}

// allowed are the rooms, from the bottom up, with what each may import besides low. A room may not
// import one that stands below it in this list.
var allowed = []struct {
	room    string
	imports []string
}{
	{"internal/lanes", nil},
	{"internal/wire", nil},
	{"validator", []string{"internal/lanes", "internal/wire"}},
	{"signature", nil},
	{"internal/s3listing", nil},
	{"blobstore/s3list", []string{"internal/s3listing"}},
	{"internal/localdisk", nil},
	{"blobstore", []string{"blobstore/s3list", "internal/localdisk"}},
	{"fetcher", []string{"blobstore/s3list", "validator"}},
	{"internal/writeonce", []string{"blobstore", "internal/localdisk"}},
	{"blobstore/auditstore", []string{"blobstore", "internal/writeonce"}},
	{"auditor", []string{"blobstore/auditstore", "signature"}},
	{"auditor/client", []string{"signature"}},
	{"transparency/tlogproof", nil},
	{"transparency", []string{"blobstore/auditstore", "transparency/tlogproof"}},
	{"transparency/selfcheck", []string{"blobstore/auditstore", "transparency"}},
	{"transparency/witnesses", []string{"transparency/tlogproof"}},
	{"witness", []string{"blobstore/auditstore", "transparency/tlogproof", "transparency/witnesses"}},
	{"internal/pins", nil},
	{"internal/jsonpost", nil},
	{"internal/explain", nil},
	{"internal/alert/pauses", []string{"blobstore/auditstore"}},
	{"internal/alert", []string{"blobstore/auditstore", "internal/alert/pauses", "internal/explain", "internal/jsonpost"}},
	{"internal/alert/message", []string{"blobstore/auditstore", "internal/alert", "internal/explain"}},
	{"internal/alert/targets", []string{"internal/alert", "internal/alert/message", "internal/jsonpost"}},
	{"internal/tracing", nil},
	{"internal/metrics", []string{"internal/alert", "internal/alert/targets", "internal/tracing"}},
	{"jobs/begun", []string{"blobstore/auditstore"}},
	{"jobs/reaudited", []string{"blobstore/auditstore"}},
	{"jobs/incident", []string{"blobstore/auditstore", "internal/alert"}},
	{"jobs/report", []string{"blobstore/auditstore", "internal/alert", "jobs/incident"}},
	{"jobs/evidence", []string{"blobstore/auditstore", "fetcher", "jobs/incident", "signature", "validator"}},
	{"jobs/bundle", []string{"blobstore/auditstore", "fetcher", "jobs/evidence", "jobs/incident", "signature", "validator"}},
	{"jobs/timestamp", []string{"auditor", "blobstore/auditstore", "internal/alert", "jobs/incident", "signature"}},
	{"jobs/crosscheck", []string{"auditor", "auditor/client", "blobstore/auditstore", "internal/alert", "jobs/incident", "signature"}},
	{"jobs/statement", []string{"blobstore/auditstore", "jobs/incident", "jobs/report", "transparency/tlogproof"}},
	{"jobs/witnessing", []string{
		"blobstore/auditstore", "internal/alert", "jobs/incident", "transparency", "transparency/selfcheck", "transparency/witnesses",
	}},
	{"page/summary", []string{
		"auditor", "blobstore/auditstore", "internal/explain", "jobs/crosscheck", "jobs/incident", "jobs/report", "signature", "transparency",
		"transparency/tlogproof",
	}},
	{"page/documents", nil},
	{"page/check", []string{"transparency/tlogproof", "validator"}},
	{"page/check/wasm", []string{"page/check"}},
	{"page", []string{ // never the queue
		"blobstore/auditstore", "internal/explain", "jobs/statement", "page/documents", "page/summary", "transparency",
	}},
	{"page/static", []string{"page", "page/documents", "page/summary"}},
	{"api", []string{ // never the queue
		"auditor", "auditor/client", "blobstore/auditstore", "fetcher", "internal/alert", "jobs/bundle", "jobs/incident", "jobs/report", "signature",
	}},
	{"jobs/chain", []string{"blobstore/auditstore", "blobstore/s3list", "fetcher", "internal/alert", "jobs/incident", "validator"}},
	{"jobs/verdictcheck", []string{"blobstore/auditstore", "internal/alert", "jobs/incident", "jobs/report"}},
	{"jobs/seal", []string{"blobstore/auditstore", "internal/alert", "jobs/incident", "jobs/report", "jobs/verdictcheck"}},
	{"jobs/retention", []string{"blobstore/auditstore", "jobs/report"}},
	{"jobs/redisclient", nil},
	{"jobs/queue/command", nil},
	{"jobs/queue", []string{"jobs/queue/command", "jobs/redisclient"}},
	{"jobs/queue/inprocess", []string{"jobs/queue"}},
	{"jobs/share", nil},
	{"jobs/pending", nil},
	{"jobs/canary", []string{"internal/wire", "validator"}},
	{"jobs/frontier", []string{"blobstore/auditstore", "fetcher"}},
	{"internal/storewatch", []string{"blobstore/auditstore", "internal/alert"}},
	{"jobs/heartbeat", nil},
	{"jobs/lag", []string{"blobstore/auditstore", "fetcher", "jobs/frontier"}},
	{"jobs/recheck", []string{
		"blobstore/auditstore", "fetcher", "internal/alert", "jobs/begun", "jobs/chain", "jobs/frontier", "jobs/incident", "jobs/reaudited", "jobs/report", "validator",
	}},
	{"jobs/verify", []string{"blobstore/auditstore", "fetcher", "jobs/incident", "jobs/share", "validator"}},
	{"jobs/audit", []string{
		"blobstore/auditstore", "fetcher", "internal/alert", "jobs/canary", "jobs/evidence", "jobs/incident", "jobs/reaudited", "jobs/report", "jobs/pending", "jobs/share", "jobs/verify", "signature", "validator",
	}},
	{"jobs/overrule", []string{"blobstore/auditstore", "internal/alert", "jobs/audit", "jobs/incident"}},
	{"jobs/worker", []string{"blobstore/auditstore", "fetcher", "jobs/audit", "jobs/canary", "jobs/queue", "jobs/report", "jobs/seal", "jobs/share", "signature"}},
	{"jobs/schedule", []string{ // never jobs/audit or jobs/worker
		"blobstore/auditstore", "fetcher", "internal/alert",
		"jobs/begun", "jobs/frontier", "jobs/incident", "jobs/queue", "jobs/report", "jobs/lag", "jobs/retention", "jobs/seal", "jobs/chain", "jobs/recheck", "jobs/verdictcheck", "signature",
	}},
	{"internal/strictyaml", nil},
	{"internal/config", []string{
		"auditor/client", "blobstore", "internal/alert", "internal/alert/targets", "internal/strictyaml", "signature", "transparency/tlogproof", "validator",
	}},
	{"internal/simlog", []string{"signature", "validator"}},
	{"internal/farstore", nil},
	{"cmd/ktaudit", []string{"*"}},
}

// elsewhere are packages for tests and tools, which no room imports.
var elsewhere = []string{
	"internal/rooms", "internal/benchreport", "internal/benchreport/plot", "internal/golden", "internal/testservers", "internal/jobstest", "internal/jobstest/queuetest", "internal/jobstest/audittest", "transparency/tlogtest",
	"blobstore/s3list/s3listtest", "deploy", "internal/lanes/gen",
}

const module = "github.com/ktaudit/ktaudit/"

// Check returns what breaks the rules below a folder that holds the module, each with its file and
// line.
func Check(root string) ([]string, error) {
	var wrong []string
	lines := map[string]int{} // by package
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "scripts") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		found, count, err := checkFile(path, relative)
		wrong = append(wrong, found...)
		if name != "doc.go" { // nothing is gained by saying less there
			lines[packageOf(relative)] += count
		}
		if err != nil {
			return err
		}
		found, err = checkPublic(path, relative)
		wrong = append(wrong, found...)
		return err
	})
	for room, count := range lines {
		if count > maxPackageLines && room != "cmd/ktaudit" {
			wrong = append(wrong, fmt.Sprintf("%s: %d lines, a package may have %d", room, count, maxPackageLines))
		}
		if !slices.Contains(low, room) && !slices.Contains(elsewhere, room) && place(room) < 0 {
			wrong = append(wrong, fmt.Sprintf("%s: a package without a place in internal/rooms", room))
		}
	}
	slices.Sort(wrong)
	return wrong, err
}

// checkFile returns what is wrong with a file, and how many lines it has.
func checkFile(path, relative string) (wrong []string, lines int, err error) {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, path, nil, parser.ImportsOnly)
	if err != nil {
		return nil, 0, err
	}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, 0, err
		}
		imported, ours := strings.CutPrefix(imported, module)
		if ours && !mayImport(packageOf(relative), imported) {
			line := files.Position(spec.Pos()).Line
			wrong = append(wrong, fmt.Sprintf("%s:%d: %s may not import %s", relative, line, packageOf(relative), imported))
		}
	}
	lines, wide, err := readLines(path)
	for _, line := range wide {
		wrong = append(wrong, fmt.Sprintf("%s:%d: a comment may have %d columns", relative, line, maxCommentColumns))
	}
	if lines > maxFileLines {
		wrong = append(wrong, fmt.Sprintf("%s: %d lines, a file may have %d", relative, lines, maxFileLines))
	}
	return wrong, lines, err
}

// mayImport reports whether a room may import another package of the project.
func mayImport(room, imported string) bool {
	switch {
	case slices.Contains(elsewhere, room):
		return true
	case slices.Contains(low, room):
		// Within low only the plainest: epochset counts in verdict's shards, observe has verdict's
		// outcomes, resume waits, httpcache cuts, tlsfiles and secret read files as reload does.
		return imported == "verdict" && (room == "verdict/epochset" || room == "jobs/observe") ||
			imported == "internal/wait" && room == "internal/resume" || imported == "internal/text" && room == "internal/httpcache" ||
			imported == "internal/reload" && (room == "internal/tlsfiles" || room == "internal/secret")
	case slices.Contains(low, imported):
		return true
	}
	at := place(room)
	if at < 0 {
		return true // told of once, as a package without a place
	}
	imports := allowed[at].imports
	return slices.Contains(imports, imported) || slices.Contains(imports, "*") && !slices.Contains(elsewhere, imported)
}

// place returns a room's place in the list; -1 if it has none.
func place(room string) int {
	for i, a := range allowed {
		if a.room == room {
			return i
		}
	}
	return -1
}

func packageOf(file string) string { return filepath.ToSlash(filepath.Dir(file)) }

// readLines returns how many lines a file has, and which of them are comments that are too wide.
func readLines(path string) (n int, wide []int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); ; n++ {
		if !lines.Scan() {
			return n, wide, lines.Err()
		}
		line := strings.ReplaceAll(lines.Text(), "\t", "    ")
		comment := strings.HasPrefix(strings.TrimLeft(line, " "), "//")
		if comment && utf8.RuneCountInString(line) > maxCommentColumns {
			wide = append(wide, n+1)
		}
	}
}
