package alert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
)

// The test binary is also the dispatcher that a test kills.
const (
	asProcess = "KTAUDIT_TEST_PROCESS"
	withStore = "KTAUDIT_TEST_STORE"
	withHook  = "KTAUDIT_TEST_HOOK"
)

// processLease is how long the claim of a killed process holds up the other.
const processLease = 4 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(asProcess) != "dispatcher" {
		os.Exit(m.Run())
	}
	if err := dispatchProcess(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func dispatchProcess(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the test
		cancel()
	}()
	s, err := auditstore.Open(ctx, os.Getenv(withStore))
	if err != nil {
		return err
	}
	hook, err := posting("hook", os.Getenv(withHook))
	if err != nil {
		return err
	}
	d, err := NewDispatcher(Options{Store: s, Namespaces: []string{namespace}, Targets: []Target{hook},
		Every: 10 * time.Millisecond, lease: processLease, retry: quick})
	if err != nil {
		return err
	}
	return d.Run(ctx)
}

// Two dispatchers run; whichever sends a chosen alert is killed before it learns that the alert
// arrived, or soon after. Each alert arrives, and only the last one of a killed process may arrive
// twice.
func TestADispatcherKilledWhileItSendsLosesNoAlert(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for claims to run out: left out with -short")
	}
	folder := t.TempDir()
	const alerts = 40
	var mu sync.Mutex
	processes := map[string]*exec.Cmd{} // by the path of the webhook's address they were given
	last := map[string]string{}         // what each sent last, by the same path
	chosen := map[string]bool{}         // incidents whose sender was killed
	victims := map[string]bool{}        // paths
	var wg sync.WaitGroup

	var rc *receiver
	var launch func(n int)
	rc = newReceiver(t, func(r *http.Request, m message) int {
		mu.Lock()
		defer mu.Unlock()
		last[r.URL.Path] = m.Incident
		if m.Epoch%10 != 4 || chosen[m.Incident] {
			return 0
		}
		chosen[m.Incident], victims[r.URL.Path] = true, true
		cmd := processes[r.URL.Path]
		if m.Epoch%20 == 4 { // before the answer; else about when it arrives
			_ = cmd.Process.Kill()
		} else {
			wg.Go(func() { _ = cmd.Process.Kill() })
		}
		launch(len(processes))
		return 0
	})
	launch = func(n int) {
		self, err := os.Executable()
		if err != nil {
			t.Error(err)
			return
		}
		path := "/" + strconv.Itoa(n)
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), asProcess+"=dispatcher", withStore+"="+folder, withHook+"="+rc.URL+path)
		cmd.Stderr = os.Stderr
		_, err = cmd.StdinPipe()
		if err := errors.Join(err, cmd.Start()); err != nil {
			t.Error(err)
			return
		}
		processes[path] = cmd
	}
	defer func() {
		mu.Lock()
		defer mu.Unlock()
		wg.Wait()
		for _, cmd := range processes {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}()

	s := at(folder)(t)
	for epoch := range uint64(alerts) {
		raise(t, s, OfVerdict(rejection(epoch)))
	}
	mu.Lock()
	launch(0)
	launch(1)
	mu.Unlock()
	eventually(t, "all is closed", func() bool {
		names, err := s.Outbox(namespace).Open(t.Context())
		return err == nil && len(names) == 0
	})
	arrived := map[string]int{}
	for _, m := range rc.got() {
		arrived[strings.TrimPrefix(m, "firing ")]++
	}
	mu.Lock()
	defer mu.Unlock()
	mayComeAgain := map[string]bool{}
	for path := range victims {
		mayComeAgain[last[path]] = true
	}
	twice := 0
	for epoch := range uint64(alerts) {
		incident := incidentOf(Rejected, epoch)
		if n := arrived[incident]; n != 1 && !(n == 2 && mayComeAgain[incident]) {
			t.Errorf("%s arrived %d times, the last of a killed process: %v", incident, n, mayComeAgain[incident])
		} else if n == 2 {
			twice++
		}
	}
	if len(chosen) != alerts/10 || twice == 0 {
		t.Errorf("%d alerts had their sender killed, %d came twice: nothing was tested", len(chosen), twice)
	}
	t.Logf("%d senders were killed, %d alerts came twice", len(victims), twice)
}
