package auditstore

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/verdict"
	"gocloud.dev/blob"
)

// The test binary is also the process that tests contend with, and kill.
const (
	asProcess = "KTAUDIT_TEST_PROCESS" // what to do
	withURL   = "KTAUDIT_TEST_URL"
	withName  = "KTAUDIT_TEST_NAME"
)

func TestMain(m *testing.M) {
	processes := map[string]func(context.Context) error{"race": raceProcess, "endless": endlessProcess}
	run, ok := processes[os.Getenv(asProcess)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func process(t *testing.T, what, url, name string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), asProcess+"="+what, withURL+"="+url, withName+"="+name)
	return cmd
}

const raceEpochs = 40

// raceProcess waits until all processes are there, writes a verdict for each epoch, and prints what
// it was told.
func raceProcess(ctx context.Context) error {
	s, err := Open(ctx, os.Getenv(withURL))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	_, _ = io.ReadAll(os.Stdin)
	for epoch := range uint64(raceEpochs) {
		recorded, created, err := s.PutVerdict(ctx, verdictBy(epoch, os.Getenv(withName)))
		if err != nil {
			return err
		}
		fmt.Println(epoch, recorded.Software, created)
	}
	return s.Close()
}

func TestContendingProcessesAgree(t *testing.T) {
	t.Parallel()
	t.Run("local disk", func(t *testing.T) {
		t.Parallel()
		contend(t, t.TempDir())
	})
	t.Run("S3", func(t *testing.T) {
		t.Parallel()
		contend(t, testservers.S3(t).BucketURL("race"))
	})
}

func contend(t *testing.T, url string) {
	const processes = 4
	var commands [processes]*exec.Cmd
	var starts [processes]io.Closer
	var outputs [processes]*bufio.Reader
	for i := range commands {
		cmd := process(t, "race", url, fmt.Sprint("process-", i))
		stdin, inErr := cmd.StdinPipe()
		stdout, outErr := cmd.StdoutPipe()
		cmd.Stderr = os.Stderr
		if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
			t.Fatal(err)
		}
		commands[i], starts[i], outputs[i] = cmd, stdin, bufio.NewReader(stdout)
		if _, err := outputs[i].ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range starts {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	winners := map[string]string{} // by epoch
	// by epoch, the verdicts that processes were told are on record
	told := map[string]map[string]bool{}
	for i, cmd := range commands {
		all, err := io.ReadAll(outputs[i])
		if err := errors.Join(err, cmd.Wait()); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(all)) {
			var epoch, software string
			var created bool
			if _, err := fmt.Sscan(line, &epoch, &software, &created); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if told[epoch] == nil {
				told[epoch] = map[string]bool{}
			}
			told[epoch][software] = true
			if created {
				if other, taken := winners[epoch]; taken {
					t.Errorf("epoch %s was created by %s and by %s", epoch, other, software)
				}
				winners[epoch] = software
			}
		}
	}
	if len(winners) != raceEpochs || len(told) != raceEpochs {
		t.Errorf("%d winners for %d epochs", len(winners), raceEpochs)
	}
	for epoch, verdicts := range told {
		if len(verdicts) != 1 || !verdicts[winners[epoch]] {
			t.Errorf("epoch %s: the winner is %s, but processes were told %v", epoch, winners[epoch], verdicts)
		}
	}
}

// endlessProcess writes verdicts and archives until it is killed, and prints each epoch it was told
// is on record.
func endlessProcess(ctx context.Context) error {
	s, err := Open(ctx, os.Getenv(withURL))
	if err != nil {
		return err
	}
	for epoch := uint64(0); ; epoch++ {
		if err := archive(ctx, s, epoch, ".zst", batch(epoch)); err != nil {
			return err
		}
		if _, _, err := s.PutVerdict(ctx, long(epoch)); err != nil {
			return err
		}
		fmt.Println(epoch)
	}
}

func batch(epoch uint64) []byte { return bytes.Repeat([]byte{byte(epoch)}, 150_000) }

// long is a verdict that does not fit into one page of memory or disk.
func long(epoch uint64) verdict.Verdict {
	v := verdictBy(epoch, "w")
	v.Detail = strings.Repeat("x", verdict.MaxDetailBytes)
	return v
}

func TestKilledWriterLeavesWholeObjects(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for range 12 {
		cmd := process(t, "endless", folder, "")
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stdout)
		acknowledged := -1
		for range 1 + rand.IntN(40) {
			if !lines.Scan() {
				t.Fatal("the writer ended by itself")
			}
			acknowledged++
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			acknowledged++
		}
		if err := cmd.Wait(); cmd.ProcessState.Exited() {
			t.Fatalf("the writer was not killed: %v", err)
		}
		wantWhole(t, folder, acknowledged)
	}
}

// wantWhole checks that everything acknowledged is on record, and that whatever is on record is
// whole.
func wantWhole(t *testing.T, folder string, acknowledged int) {
	t.Helper()
	s := at(folder)(t)
	epochs, err := s.Epochs(t.Context(), namespace, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, epoch := range epochs {
		if epoch != uint64(i) {
			t.Fatalf("epochs %v: %d is missing", epochs, i)
		}
		v, err := s.Verdict(t.Context(), namespace, epoch)
		if err != nil || v.Contradicts(long(epoch)) || v.Detail != long(epoch).Detail {
			t.Errorf("epoch %d: %+v, %v", epoch, v, err)
		}
		wantArchive(t, s, epoch, fmt.Sprintf("%s/archive/000000000/%012d.zst", namespace, epoch), batch(epoch))
	}
	if len(epochs) <= acknowledged {
		t.Errorf("%d verdicts, but %d were acknowledged", len(epochs), acknowledged+1)
	}
	// The one archive that has no verdict yet is whole, too, or not there.
	if a, err := s.OpenArchive(t.Context(), namespace, uint64(len(epochs))); err == nil {
		a.Close()
		wantArchive(t, s, uint64(len(epochs)), a.Key, batch(uint64(len(epochs))))
	} else if !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	wantNoDrafts(t, folder, "verdicts/000000000/", len(epochs))
}

// wantNoDrafts lists a shard as any program would.
func wantNoDrafts(t *testing.T, folder, prefix string, want int) {
	t.Helper()
	b, err := blobstore.OpenBucket(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	all := b.List(&blob.ListOptions{Prefix: namespace + "/" + prefix})
	got := 0
	for {
		o, err := all.Next(t.Context())
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := verdict.ParsePadded(strings.TrimSuffix(strings.TrimPrefix(o.Key, namespace+"/"+prefix), ".json"), 12); !ok {
			t.Errorf("listed: %s", o.Key)
		}
		got++
	}
	if got != want {
		t.Errorf("%s lists %d objects, want %d", prefix, got, want)
	}
}
