package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/jobs/begun"
	"github.com/ktaudit/ktaudit/jobs/bundle"
	"github.com/ktaudit/ktaudit/jobs/report"
	"github.com/ktaudit/ktaudit/signature"
	"gocloud.dev/blob"
)

// What becomes of epochs of TestLookAgain's log after they were judged.
const (
	lookEpochs = 40
	doubled    = 10 // a second batch, which verifies, appears beside it
	replaced   = 17 // has other bytes under its name
	vanished   = 24
	swapped    = 31 // has the bytes of the next one, and that one its
	forked     = 36 // a second batch appears, and the log signs its digest, too

	lookEvery = 4 * time.Second
)

// TestLookAgain has a log change its past once all of it is verified, while two schedulers and two
// workers look again within seconds. Each change is told once, stays on record, and leaves a bundle
// that convicts where there is nothing else, though the log deletes everything afterwards.
func TestLookAgain(t *testing.T) {
	t.Parallel()
	a := startLookAgain(t)
	a.tamper()
	told := a.waitUntilTold()
	a.waitForLooks(time.Now().Add(lookEvery))
	a.stop(a.processes...)
	a.checkLogs()
	a.checkOnce()
	a.checkRecord()
	before := a.bundles("before", told)
	for _, epoch := range a.changed() {
		a.remove(fmt.Sprintf("%d/", epoch))
		if err := a.signed.Delete(t.Context(), fmt.Sprintf("%d.json", epoch)); err != nil {
			t.Fatal(err)
		}
	}
	after := a.bundles("after", told)
	a.redis.Kill()
	a.s3.Kill()
	for _, files := range []map[uint64]string{before, after} {
		for epoch, file := range files {
			a.checkBundle(epoch, file)
		}
	}
}

// lookAgain is an audit of a log that changes its past.
type lookAgain struct {
	*chaos
	redis     *testservers.RedisServer
	s3        *testservers.S3Server
	log       *blob.Bucket
	signed    *blob.Bucket
	webhook   *webhook
	processes []*process
	tampered  time.Time
}

func startLookAgain(t *testing.T) *lookAgain {
	t.Helper()
	redis, s3 := testservers.Redis(t), testservers.S3(t)
	a := &lookAgain{chaos: newChaos(t, s3.BucketDir("audit"), testservers.S3Env()...), redis: redis, s3: s3, webhook: newWebhook(t)}
	a.log, a.signed = a.open("log"), a.open("signatures")
	var ages []string
	for i := range time.Duration(10) {
		ages = append(ages, ((i + 1) * lookEvery).String())
	}
	text := fmt.Sprintf(`
redis: %s
audit_store: %s
alerts:
  webhook: {name: hooks, url: %s, secret_env: WEBHOOK_SECRET}
namespaces:
  - namespace: %s
    log_directory: %s
    signatures: %s
    verifying_keys: [%s]
    poll: 1s
    settle: none
    silent_after: never
    archive: true
    recheck_after: [%s]
`, redis.URL(), s3.BucketURL("audit"), a.webhook.URL, chaosNamespace, s3.BucketURL("log"), s3.BucketURL("signatures"), verifyingKey(demoKey(1)), strings.Join(ages, ", "))
	path := filepath.Join(a.dir, "ktaudit.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	epochs := fmt.Sprint(lookEpochs)
	a.ktaudit(nil, "simulate", "--epochs", epochs, "--log-directory", s3.BucketURL("log"), "--signatures", s3.BucketURL("signatures"))
	a.ktaudit(nil, "simulate", "--epochs", epochs, "--log-directory", "other",
		"--tamper", fmt.Sprintf("%d=equivocate", doubled), "--tamper", fmt.Sprintf("%d=equivocate", forked), "--tamper", fmt.Sprintf("%d=digest", replaced))
	a.env = append(a.env, "KTAUDIT_CONFIG="+path, "WEBHOOK_SECRET=of-sixteen-bytes-or-more")
	for i := range 2 {
		a.processes = append(a.processes, a.start(fmt.Sprintf("scheduler-%d", i), "scheduler"), a.start(fmt.Sprintf("worker-%d", i), "worker"))
	}
	a.await("all epochs judged", func() error {
		a.verdicts.look()
		if n := a.verdicts.count(); n < lookEpochs {
			return fmt.Errorf("%d of %d epochs have a verdict", n, lookEpochs)
		}
		return nil
	})
	var status report.Status
	a.ktaudit(&status, "status")
	if status.Head != lookEpochs {
		t.Fatalf("before anything was changed, status is %+v", status)
	}
	return a
}

func (a *lookAgain) open(bucket string) *blob.Bucket {
	a.t.Helper()
	b, err := blob.OpenBucket(a.t.Context(), a.s3.BucketURL(bucket))
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = b.Close() })
	return b
}

// changed are the epochs whose past the log changes.
func (a *lookAgain) changed() []uint64 {
	return []uint64{doubled, replaced, vanished, swapped, swapped + 1, forked}
}

// incidents says what is to be told of each of them: the first part of the incident's name.
func (a *lookAgain) incidents() map[uint64]string {
	return map[uint64]string{
		doubled:     fmt.Sprintf("equivocation/%012d", doubled),
		replaced:    fmt.Sprintf("contradiction/%012d", replaced),
		vanished:    fmt.Sprintf("withdrawn/%012d-%012d/", vanished, vanished),
		swapped:     fmt.Sprintf("contradiction/%012d", swapped),
		swapped + 1: fmt.Sprintf("contradiction/%012d", swapped+1),
		forked:      fmt.Sprintf("equivocation/%012d", forked),
	}
}

// tamper changes what the log has published.
func (a *lookAgain) tamper() {
	a.t.Helper()
	other := func(epoch uint64) map[string][]byte {
		found := map[string][]byte{}
		files, err := filepath.Glob(filepath.Join(a.dir, "other", fmt.Sprint(epoch), "*", "*"))
		if err != nil {
			a.t.Fatal(err)
		}
		for _, file := range files {
			key, _ := filepath.Rel(filepath.Join(a.dir, "other"), file)
			if found[key], err = os.ReadFile(file); err != nil {
				a.t.Fatal(err)
			}
		}
		return found
	}
	a.tampered = time.Now()
	for _, epoch := range []uint64{doubled, forked} {
		first := a.keyOf(epoch)
		for key, data := range other(epoch) {
			if key == first {
				continue
			}
			if epoch == forked {
				a.sign(epoch, filepath.Base(key))
			}
			a.write(key, data)
		}
		if n := len(a.keys(fmt.Sprintf("%d/", epoch))); n != 2 {
			a.t.Fatalf("epoch %d has %d batches", epoch, n)
		}
	}
	a.write(a.keyOf(replaced), other(replaced)[a.keyOf(replaced)])
	first, next := a.keyOf(swapped), a.keyOf(swapped+1)
	ofFirst, ofNext := a.read(first), a.read(next)
	a.write(first, ofNext)
	a.write(next, ofFirst)
	a.remove(a.keyOf(vanished))
}

// keyOf is the key of an epoch's only batch.
func (a *lookAgain) keyOf(epoch uint64) string {
	a.t.Helper()
	keys := a.keys(fmt.Sprintf("%d/", epoch))
	if len(keys) != 1 {
		a.t.Fatalf("epoch %d has the batches %q", epoch, keys)
	}
	return keys[0]
}

func (a *lookAgain) keys(prefix string) (keys []string) {
	a.t.Helper()
	page, _, err := a.log.ListPage(a.t.Context(), blob.FirstPageToken, 100, &blob.ListOptions{Prefix: prefix})
	if err != nil {
		a.t.Fatal(err)
	}
	for _, o := range page {
		if !o.IsDir && o.Size > 0 {
			keys = append(keys, o.Key)
		}
	}
	return keys
}

func (a *lookAgain) read(key string) []byte {
	a.t.Helper()
	data, err := a.log.ReadAll(a.t.Context(), key)
	if err != nil {
		a.t.Fatal(err)
	}
	return data
}

func (a *lookAgain) write(key string, data []byte) {
	a.t.Helper()
	if err := a.log.WriteAll(a.t.Context(), key, data, nil); err != nil || len(data) == 0 {
		a.t.Fatalf("%s, %d bytes: %v", key, len(data), err)
	}
}

// sign has the log sign another digest for an epoch, in place of the one before.
func (a *lookAgain) sign(epoch uint64, digest string) {
	a.t.Helper()
	name := fmt.Sprintf("%d.json", epoch)
	var bytes [32]byte
	_, err := hex.Decode(bytes[:], []byte(digest))
	data, readErr := a.signed.ReadAll(a.t.Context(), name)
	before, parseErr := signature.Parse(data)
	if err = errors.Join(err, readErr, parseErr); err != nil {
		a.t.Fatal(err)
	}
	s, err := signature.Sign(demoKey(1), before.Ciphersuite, before.Namespace, before.Timestamp, epoch, bytes)
	if err == nil {
		data, err = json.Marshal(s)
	}
	if err = errors.Join(err, a.signed.WriteAll(a.t.Context(), name, data, nil)); err != nil {
		a.t.Fatal(err)
	}
}

// remove removes all objects whose keys begin so.
func (a *lookAgain) remove(prefix string) {
	a.t.Helper()
	for _, key := range a.keys(prefix) {
		if err := a.log.Delete(a.t.Context(), key); err != nil {
			a.t.Fatal(err)
		}
	}
	if left := a.keys(prefix); len(left) > 0 {
		a.t.Fatalf("the log still has %q", left)
	}
}

func (a *lookAgain) await(what string, done func() error) {
	a.t.Helper()
	began := time.Now()
	for {
		err := done()
		if err == nil {
			a.t.Logf("%s after %.1f s", what, time.Since(began).Seconds())
			return
		}
		if time.Since(began) > 2*time.Minute {
			a.explain(20)
			a.t.Fatalf("not %s after two minutes: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// waitUntilTold waits until the webhook has the incident of each epoch, and returns their names.
func (a *lookAgain) waitUntilTold() map[uint64]string {
	a.t.Helper()
	told := map[uint64]string{}
	a.await("all told", func() error {
		for incident, deliveries := range a.webhook.all() {
			for epoch, prefix := range a.incidents() {
				if _, known := told[epoch]; !known && strings.HasPrefix(incident, prefix) {
					a.t.Logf("epoch %d: %s after %.1f s", epoch, incident, deliveries[0].at.Sub(a.tampered).Seconds())
					told[epoch] = incident
				}
			}
		}
		if len(told) < len(a.incidents()) {
			return fmt.Errorf("told of %v, want %v", told, a.incidents())
		}
		return nil
	})
	return told
}

// waitForLooks waits until everything was looked at again that came due until then.
func (a *lookAgain) waitForLooks(until time.Time) {
	a.t.Helper()
	store, err := auditstore.Open(a.t.Context(), a.s3.BucketURL("audit"))
	if err != nil {
		a.t.Fatal(err)
	}
	defer store.Close()
	a.await("looked at again", func() error {
		marks, err := begun.Of(store, chaosNamespace, "recheck").Times(a.t.Context())
		if err == nil && (len(marks) == 0 || marks[len(marks)-1].Before(until)) {
			err = fmt.Errorf("the marks are %v, want one after %s", marks, until.UTC())
		}
		return err
	})
}

// checkOnce wants the webhook to have had one request for each incident, and for nothing else.
func (a *lookAgain) checkOnce() {
	a.t.Helper()
	all := a.webhook.all()
	for incident, deliveries := range all {
		if len(deliveries) != 1 {
			a.t.Errorf("%s was told %d times", incident, len(deliveries))
		}
	}
	if len(all) != len(a.incidents()) {
		a.t.Errorf("the webhook was told of %q, want %d incidents", slices.Sorted(maps.Keys(all)), len(a.incidents()))
	}
}

// checkRecord wants what is on record to have each incident once, and status and head to say so.
func (a *lookAgain) checkRecord() {
	a.t.Helper()
	var status report.Status
	a.ktauditExits(1, &status, "status")
	var head report.Head
	a.ktauditExits(1, &head, "head")
	if head.Head != doubled-1 || status.Head != doubled-1 {
		a.t.Errorf("the head is %d, in status %d, want %d", head.Head, status.Head, doubled-1)
	}
	for name, open := range map[string]int{"status": len(status.Incidents), "head": len(head.Incidents)} {
		if open != len(a.incidents()) {
			a.t.Errorf("%s has %d incidents, want %d: %+v", name, open, len(a.incidents()), status.Incidents)
		}
	}
	for _, prefix := range a.incidents() {
		for name, text := range map[string]any{"status": status.Incidents, "head": head.Incidents} {
			if n := strings.Count(fmt.Sprint(text), prefix); n != 1 {
				a.t.Errorf("%s names %s %d times: %v", name, prefix, n, text)
			}
		}
	}
}

// bundles makes a bundle of each epoch.
func (a *lookAgain) bundles(when string, told map[uint64]string) map[uint64]string {
	a.t.Helper()
	files := map[uint64]string{}
	for epoch := range told {
		files[epoch] = filepath.Join(a.dir, fmt.Sprintf("%s-%d.tar.zst", when, epoch))
		out, err := a.command("evidence", fmt.Sprint(epoch), "--output", files[epoch]).CombinedOutput()
		if err != nil {
			a.t.Errorf("evidence %d: %v: %s", epoch, err, out)
			delete(files, epoch)
		}
	}
	return files
}

// checkBundle wants verify to bear out all that a bundle claims, where there is nothing else. Only
// two signed digests need nobody's word, with the key at hand.
func (a *lookAgain) checkBundle(epoch uint64, file string) {
	a.t.Helper()
	empty := a.t.TempDir()
	data, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(filepath.Join(empty, "bundle.tar.zst"), data, 0o600)
	}
	if err != nil {
		a.t.Fatal(err)
	}
	verify := func(exit int, result bundle.Result, flags ...string) bundle.Checked {
		a.t.Helper()
		cmd := exec.CommandContext(a.t.Context(), filepath.Join(binDir, "ktaudit"), append([]string{"verify", "bundle.tar.zst", "--json"}, flags...)...)
		cmd.Dir, cmd.Env = empty, []string{"HOME=" + filepath.Join(empty, "home")}
		out, err := cmd.Output()
		var checked bundle.Checked
		if jsonErr := json.Unmarshal(out, &checked); jsonErr != nil {
			a.t.Fatalf("%v: %s", err, out)
		}
		// 3 is to say that the bundle bears it out, but that its maker has to be believed.
		if code := cmd.ProcessState.ExitCode(); code != exit || checked.Result != result || checked.Manifest.Epoch != epoch {
			a.t.Errorf("verify of %s exits with %d: %s", filepath.Base(file), code, out)
		}
		return checked
	}
	verify(3, bundle.Shown)
	exit, result := 3, bundle.Shown
	if epoch == forked {
		exit, result = 0, bundle.Proven
	}
	checked := verify(exit, result, "--verifying-key", verifyingKey(demoKey(1)))
	if bySignatures := len(checked.BySignatures) > 0; bySignatures != (epoch == forked) {
		a.t.Errorf("%s: signatures prove %q", filepath.Base(file), checked.BySignatures)
	}
}
