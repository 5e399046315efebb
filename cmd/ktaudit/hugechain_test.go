package main

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/verdict"
)

// A log as long as WhatsApp's, with a gap, a double and a break, is walked within 1,300 requests,
// 200 MB of memory and a minute of CPU. It takes a while: KTAUDIT_LONG=1 plays it at full length.
func TestHostileHugeChain(t *testing.T) {
	epochs := uint64(30_000)
	if os.Getenv("KTAUDIT_LONG") != "" {
		epochs = 1_200_000
	}
	gap, double, broken := epochs/3, epochs/2, epochs-epochs/7
	other := strings.Repeat("ab", 32)
	names := &s3listtest.Names{
		First: 1, Last: epochs, Missing: map[uint64]bool{gap: true}, Previous: map[uint64]string{broken: other},
		Extra: []string{fmt.Sprintf("+%d/%s/%s", double, s3listtest.DigestOf(double-1), other)},
	}
	server := httptest.NewServer(names)
	defer server.Close()
	cmd := exec.CommandContext(t.Context(), filepath.Join(binDir, "ktaudit"), "chain", "--json", "--namespace", "huge",
		"--log-directory", "s3list+"+server.URL+"?rate=1000", "--audit-store", t.TempDir())
	cmd.Env, cmd.Stderr = environment(t.TempDir()), os.Stderr
	began := time.Now()
	out, memory, err := outputAndPeak(cmd)
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != exitFound {
		t.Fatalf("%v: %s", err, out)
	}
	var got struct {
		Requests int `json:"requests"`
		report.ChainStatus
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	one := func(epoch uint64) []verdict.ChainRange { return []verdict.ChainRange{{From: epoch, To: epoch}} }
	chained := []verdict.ChainRange{{From: 1, To: gap - 1}, {From: gap + 1, To: double - 1}, {From: double + 1, To: broken - 1}, {From: broken, To: epochs}}
	if !reflect.DeepEqual(got.Gaps, one(gap)) || !reflect.DeepEqual(got.Doubles, one(double)) ||
		!reflect.DeepEqual(got.Breaks, []uint64{broken}) || !reflect.DeepEqual(got.Chained, chained) {
		t.Errorf("%s", out)
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if limit := int(epochs/1000) + 100; got.Requests > limit || int64(got.Requests) != names.Requests.Load()-1 && int64(got.Requests) != names.Requests.Load() {
		t.Errorf("%d requests, want up to %d; the server saw %d", got.Requests, limit, names.Requests.Load())
	}
	if memory > 200_000_000 || cpu > time.Minute {
		t.Errorf("%d bytes of memory, %v of CPU", memory, cpu)
	}
	t.Logf("%d epochs: %d requests, %d MB, CPU %.1f s, %.1f s in all", epochs, got.Requests, memory/1_000_000, cpu.Seconds(), time.Since(began).Seconds())
}
