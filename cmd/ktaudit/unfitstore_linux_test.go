package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/testservers"
)

// A store that can never take a verdict is refused at start, by whatever writes verdicts, and
// nothing is left in it. There need be no Redis for that.
func TestUnfitStoresAreRefused(t *testing.T) {
	t.Parallel()
	server := testservers.S3(t)
	quirky := func(name string, quirks ...testservers.Quirk) string {
		f := testservers.Faulty(t, server, 1)
		f.Be(quirks...)
		return f.BucketURL(name)
	}
	const readOnly = "grant the right to create objects, or remount a read-only folder"
	for name, test := range map[string]struct{ url, says, remedy string }{
		"exFAT": {testservers.ExFAT(t), "(fuseblk) has no hard links, by which verdicts are created only once",
			"use a folder on ext4, XFS, APFS or NTFS, or a bucket"},
		"conditions ignored": {quirky("ignored", testservers.Overwrites), "it ignores conditional writes (If-None-Match)",
			"use another store, or a newer version of its server"},
		"conditions answered 400": {quirky("bad", testservers.BadCondition), "it refuses conditional writes (If-None-Match)",
			"use another store, or a newer version of its server"},
		"conditions answered 501": {quirky("none", testservers.NoConditions), "it refuses conditional writes (If-None-Match)",
			"use another store, or a newer version of its server"},
		"checksums answered 501": {quirky("sums", testservers.NoChecksums), "its server does not implement such writes",
			"add request_checksum_calculation=when_required to the URL"},
		"read-only bucket": {quirky("denied", testservers.ReadOnly), "the audit store refuses to be written", readOnly},
		"read-only folder": {"/sys", "the audit store refuses to be written", readOnly},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAudited(t, "3")
			text := "audit_store: " + test.url + "\nredis: redis://127.0.0.1:1\n" +
				"namespaces: [{namespace: example, log_directory: ./log}]\n"
			if err := os.WriteFile(filepath.Join(a.dir, "ktaudit.yaml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, command := range []string{"run --from 1 --to 3", "worker", "scheduler", "serve --api-listen 127.0.0.1:0"} {
				cmd := a.configured(strings.Fields(command)...)
				cmd.Env = append(cmd.Env, testservers.S3Env()...)
				out, err := cmd.CombinedOutput()
				exit, ok := errors.AsType[*exec.ExitError](err)
				if !ok || exit.ExitCode() != 2 || !strings.Contains(string(out), test.says) || !strings.Contains(string(out), test.remedy) {
					t.Errorf("ktaudit %s: %v, want exit status 2, %q and %q:\n%s", command, err, test.says, test.remedy, out)
				}
			}
		})
	}
}

// What has refused the checksums takes verdicts without them.
func TestStoreWithoutChecksums(t *testing.T) {
	t.Parallel()
	f := testservers.Faulty(t, testservers.S3(t), 1)
	f.Be(testservers.NoChecksums)
	a := newAudited(t, "3")
	args := []string{"run", "--from", "1", "--to", "3", "--namespace", "example", "--log-directory", "log",
		"--audit-store", f.BucketURL("plain") + "&request_checksum_calculation=when_required"}
	cmd := a.command(args...)
	cmd.Env = append(environment(a.dir), testservers.S3Env()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
