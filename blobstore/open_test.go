package blobstore

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/testservers"
)

// TestWrongServicesAreExplained runs each case in a process of its own: credentials are the
// environment's.
func TestWrongServicesAreExplained(t *testing.T) {
	t.Parallel()
	s3 := testservers.S3(t)
	good := s3.BucketURL("open")
	nobody := nobodyThere(t)
	nobodysURL := strings.Replace(good, url.QueryEscape(s3.Endpoint()), url.QueryEscape("http://"+nobody), 1)
	noRegion := func(url string) string { return strings.ReplaceAll(url, "&region="+testservers.S3Region, "") }

	for name, test := range map[string]struct {
		url         string
		environment []string
		says        []string // nothing: it opens
	}{
		"s3":                     {good, testservers.S3Env(), nil},
		"s3, region left out":    {noRegion(good), remove(testservers.S3Env(), "AWS_REGION"), nil},
		"s3, no region at AWS":   {"s3://ktaudit", remove(testservers.S3Env(), "AWS_REGION"), []string{"no region", "AWS_REGION"}},
		"s3, no credentials":     {good, nil, []string{"no AWS credentials", "AWS_ACCESS_KEY_ID", "anonymous=true"}},
		"s3, wrong secret":       {good, append(testservers.S3Env(), "AWS_SECRET_ACCESS_KEY=x"), []string{"cannot be listed", "SignatureDoesNotMatch"}},
		"s3, anonymous, private": {good + "&anonymous=true", nil, []string{"refuses these credentials", "listing"}},
		"s3, no such bucket":     {s3.UnmadeBucketURL("missing"), testservers.S3Env(), []string{"s3://missing", "does not exist"}},
		"s3, nobody there":       {nobodysURL, testservers.S3Env(), []string{"cannot be listed", "connection refused"}},
		"s3, wrong value":        {good + "&dualstack=perhaps", testservers.S3Env(), []string{"dualstack"}},
		"gs, no credentials":     {"gs://ktaudit", nil, []string{"no Google credentials", "GOOGLE_APPLICATION_CREDENTIALS", "anonymous=true"}},
		"gs, nobody there":       {"gs://ktaudit", []string{"STORAGE_EMULATOR_HOST=" + nobody}, []string{"cannot be listed"}},
		"azblob, no account":     {"azblob://ktaudit", nil, []string{"no storage account", "AZURE_STORAGE_ACCOUNT"}},
		"azblob, nobody there": {"azblob://ktaudit?protocol=http&domain=" + nobody,
			[]string{"AZURE_STORAGE_ACCOUNT=a", "AZURE_STORAGE_KEY=a2V5"}, []string{"cannot be listed", "connection refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := processOpening(t, test.url)
			own := slices.DeleteFunc(cmd.Env, func(v string) bool { return !strings.HasPrefix(v, "KTAUDIT_") })
			cmd.Env = append(append(own, "HOME="+t.TempDir(), "AWS_EC2_METADATA_DISABLED=true"), test.environment...)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			began := time.Now()
			err := cmd.Run()
			t.Logf("after %v: %s", time.Since(began).Round(time.Millisecond), &stderr)
			if (err == nil) != (len(test.says) == 0) {
				t.Error(err)
			}
			if stdout.Len() > 0 {
				t.Errorf("on standard output: %q", &stdout)
			}
			for _, says := range test.says {
				if !strings.Contains(stderr.String(), says) {
					t.Errorf("it does not say %q", says)
				}
			}
		})
	}
}

// nobodyThere returns an address that refuses connections until the test ends: the near end of one.
// The port of a server that was stopped might be another's a moment later.
func nobodyThere(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.LocalAddr().String()
}

func remove(environment []string, name string) []string {
	return slices.DeleteFunc(environment, func(v string) bool { return strings.HasPrefix(v, name+"=") })
}

// The test binary is also the process that opens a bucket without credentials.
func TestMain(m *testing.M) {
	url := os.Getenv(openURL)
	if url == "" {
		os.Exit(m.Run())
	}
	b, err := OpenBucket(context.Background(), url)
	if err == nil {
		err = b.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// openURL has the test binary open a bucket and say why it could not.
const openURL = "KTAUDIT_TEST_OPEN_URL"

func processOpening(t *testing.T, url string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), openURL+"="+url)
	return cmd
}
