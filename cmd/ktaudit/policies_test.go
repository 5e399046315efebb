package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/testservers"
)

// actions returns what a policy in deploy/policies/aws allows.
func actions(t *testing.T, role string) (all []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "deploy", "policies", "aws", role+".json"))
	jobstest.Must(t, err)
	var policy struct {
		Statement []struct {
			Effect string
			Action []string
		}
	}
	jobstest.Must(t, json.Unmarshal(data, &policy))
	for _, s := range policy.Statement {
		if s.Effect == "Allow" {
			all = append(all, s.Action...)
		}
	}
	return all
}

// guarded is a bucket behind a policy: what that does not allow is refused.
type guarded struct {
	*testservers.FaultyS3
	role string
	url  string
}

func guard(t *testing.T, server *testservers.S3Server, role, bucket string) guarded {
	t.Helper()
	g := guarded{testservers.Faulty(t, server, 1), role, ""}
	g.url = g.BucketURL(bucket)
	g.Allow(actions(t, role)...)
	return g
}

// unused are rights that only other buckets, or accidents, need: a large batch is uploaded in parts,
// which are taken back when something goes wrong; and publish reads what is listed without a hash.
var unused = map[string]string{"worker": "s3:AbortMultipartUpload", "scheduler": "s3:AbortMultipartUpload", "publish": "s3:GetObject"}

// check holds what was asked for against the policy.
func (g guarded) check(t *testing.T) {
	t.Helper()
	used, denied := g.Used()
	if len(denied) > 0 {
		t.Errorf("deploy/policies/aws/%s.json lacks what was asked for: %q", g.role, denied)
	}
	for _, action := range actions(t, g.role) {
		if action != unused[g.role] && !slices.Contains(used, action) {
			t.Errorf("deploy/policies/aws/%s.json allows %s, which nothing asks for", g.role, action)
		}
	}
	for _, key := range g.Overwritable() {
		if strings.Contains(key, "/verdicts/") {
			t.Errorf("%s was written without a condition, which deploy/policies/aws/audit-bucket.json denies", key)
		}
	}
}

// Each role does all of its work with the rights of its policy, and asks for each of them.
func TestPolicies(t *testing.T) {
	t.Parallel()
	server, redis := testservers.S3(t), testservers.Redis(t)
	scheduler, worker := guard(t, server, "scheduler", "audit"), guard(t, server, "worker", "audit")
	serve, reader, publish := guard(t, server, "serve", "audit"), guard(t, server, "reader", "audit"), guard(t, server, "publish", "page")
	a := newAudited(t, "30", "--tamper", "7=rewrite")
	hooks := newReceiver(t)
	text := "audit_store: ./audit\nredis: " + redis.URL() + "\nnamespaces: [{namespace: example, log_directory: ./log, poll: 1s, settle: none}]\n" +
		"alerts: {webhook: {url: " + hooks.URL + ", secret_env: SECRET}}\n"
	jobstest.Must(t, os.WriteFile(filepath.Join(a.dir, "ktaudit.yaml"), []byte(text), 0o600))
	start := func(store guarded, args ...string) (*exec.Cmd, *strings.Builder) {
		cmd, out := a.configured(append(args, "--audit-store", store.url)...), new(strings.Builder)
		cmd.Env = append(cmd.Env, testservers.S3Env()...)
		cmd.Stdout, cmd.Stderr = out, out
		jobstest.Must(t, cmd.Start())
		t.Cleanup(func() {
			if t.Failed() {
				_ = cmd.Process.Kill() // which may have ended
				_ = cmd.Wait()
				used, denied := store.Used()
				t.Logf("%q asked for %q, was denied %q, and says:\n%s", cmd.Args[1:], used, denied, out)
			}
		})
		return cmd, out
	}
	stop := func(cmd *exec.Cmd, out *strings.Builder) {
		jobstest.Must(t, cmd.Process.Signal(syscall.SIGTERM))
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", cmd.Args[1], err, out)
		}
	}
	scheduling, schedulerSays := start(scheduler, "scheduler")
	working, workerSays := start(worker, "worker", "--archive")
	store, err := auditstore.Open(t.Context(), server.BucketURL("audit"))
	jobstest.Must(t, err)
	defer store.Close()
	jobstest.Eventually(t, "all is judged, and an alert was delivered and is done with", func() bool {
		epochs, err := store.Epochs(t.Context(), "example", 0)
		used, _ := scheduler.Used()
		return err == nil && len(epochs) == 30 && slices.Contains(used, "s3:DeleteObject")
	})
	stop(working, workerSays)
	stop(scheduling, schedulerSays)
	serving, serveSays := start(serve, "serve", "--api-listen", "127.0.0.1:0")
	jobstest.Eventually(t, "it serves", func() bool {
		used, _ := serve.Used()
		return len(used) == len(actions(t, "serve"))
	})
	stop(serving, serveSays)
	for _, command := range []string{"status", "export --json", "publish --output " + publish.url} {
		cmd, out := start(reader, strings.Fields(command)...)
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() == exitFailed {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
	for _, g := range []guarded{scheduler, worker, serve, reader, publish} {
		g.check(t)
	}
}

// The policies of all services allow each role the same. Google wants the right to remove of whoever
// overwrites, as publish does.
func TestPoliciesAgree(t *testing.T) {
	t.Parallel()
	folder := filepath.Join("..", "..", "deploy", "policies")
	for _, role := range []string{"worker", "scheduler", "serve", "reader", "publish"} {
		amazon := actions(t, role)
		google, err := os.ReadFile(filepath.Join(folder, "google", role+".yaml"))
		jobstest.Must(t, err)
		azure, err := os.ReadFile(filepath.Join(folder, "azure", role+".json"))
		jobstest.Must(t, err)
		for action, others := range map[string][2]string{
			"s3:ListBucket":   {"storage.objects.list", "blobs/read\""},
			"s3:GetObject":    {"storage.objects.get", "blobs/read\""},
			"s3:PutObject":    {"storage.objects.create", "blobs/write\""},
			"s3:DeleteObject": {"storage.objects.delete", "blobs/delete\""},
		} {
			allowed := slices.Contains(amazon, action)
			overwrites := role == "publish" && action == "s3:DeleteObject"
			if got := strings.Contains(string(google), others[0]); got != (allowed || overwrites) {
				t.Errorf("%s: %s is allowed: %v, and %s at Google: %v", role, action, allowed, others[0], got)
			}
			if got := strings.Contains(string(azure), others[1]); got != allowed {
				t.Errorf("%s: %s is allowed: %v, and at Azure: %v", role, action, allowed, got)
			}
		}
	}
}
