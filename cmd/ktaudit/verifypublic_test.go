package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/blobstore/s3list/s3listtest"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/signature"
	"gocloud.dev/blob/memblob"
)

// publicConfig is a configuration of a public log that has the test vectors.
func publicConfig(t *testing.T, change func(key string, content []byte) []byte) string {
	t.Helper()
	bucket := memblob.OpenBucket(nil)
	const vectors = "../../testdata/vectors/whatsapp-v1/log"
	proofs, err := filepath.Glob(vectors + "/*/*/*")
	if err != nil || len(proofs) != lastVector {
		t.Fatalf("%d proofs, error %v", len(proofs), err)
	}
	for _, path := range proofs {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, _ := filepath.Rel(vectors, path)
		if content = change(filepath.ToSlash(name), content); content == nil {
			continue
		}
		if err := bucket.WriteAll(t.Context(), filepath.ToSlash(name), content, nil); err != nil {
			t.Fatal(err)
		}
	}
	server := s3listtest.New(t, bucket)
	file := filepath.Join(t.TempDir(), "ktaudit.yaml")
	text := fmt.Sprintf("audit_store: ./audit\nnamespaces:\n  - namespace: %s\n    log_directory: %s\n", fakeNamespace, server.BucketURL())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func whole(_ string, content []byte) []byte { return content }

func TestVerifyPublicEpoch(t *testing.T) {
	t.Parallel()
	given := "--verifying-key=" + vectorKey
	for _, test := range []struct {
		name   string
		log    func(key string, content []byte) []byte
		change func(*testing.T, *fakeAuditor) []string // and the flags
		status int
		want   []string // in what is printed
	}{
		{"good", whole, func(*testing.T, *fakeAuditor) []string { return []string{given, "--epoch=12"} }, exitGood,
			[]string{"epoch 12  26 inserted", "signed    by http", "under key " + vectorKey, "not checked: other epochs"}},
		{"first use of a key", whole, func(*testing.T, *fakeAuditor) []string { return []string{"--epoch=12"} }, exitGood,
			[]string{"signed    by http", "not checked: whether the key is that of"}},
		{"not signed", whole, func(_ *testing.T, f *fakeAuditor) []string {
			f.set(f.auditPath(12), "")
			return []string{given, "--epoch=12"}
		}, exitGood, []string{"verified", "unsigned  by http", "not checked: a signature by http"}},
		{"the epoch before is not signed", whole, func(_ *testing.T, f *fakeAuditor) []string {
			f.set(f.auditPath(11), "")
			return []string{given, "--epoch=12"}
		}, exitGood, []string{"signed    by http", "not checked: the digest before and the order of time"}},
		{"no auditor", whole, nil, exitGood, []string{"verified", "not checked: any signature"}},
		{"an auditor that is not there", whole, func(*testing.T, *fakeAuditor) []string {
			return []string{given, "--epoch=12", "--auditor=http://127.0.0.1:1"}
		}, exitFailed, []string{"verified", "signed    by http", "unknown", "not checked: the signature by http://127.0.0.1:1"}},
		{"a key that is not trusted", whole, func(t *testing.T, f *fakeAuditor) []string {
			f.sign(t, 7, func(*signature.SignedDigest) {})
			return []string{given, "--epoch=12"}
		}, exitFailed, []string{"verified", "unknown ", "no trusted key"}},
		{"another digest is signed", whole, func(t *testing.T, f *fakeAuditor) []string {
			return []string{"--epoch=12", "--verifying-key", f.sign(t, 7, func(s *signature.SignedDigest) { s.Digest[0] ^= 1 })}
		}, exitFound, []string{"verified", "rejected  the signature by http", "signed digest is for another digest"}},
		{"another digest is signed for the epoch before", whole, func(t *testing.T, f *fakeAuditor) []string {
			return []string{"--epoch=12", "--verifying-key", f.sign(t, 7, func(s *signature.SignedDigest) {
				if s.Epoch == 11 {
					s.Digest[0] ^= 1
				}
			})}
		}, exitFound, []string{"rejected  the signature by http", "epoch 11"}},
		{"times go back", whole, func(t *testing.T, f *fakeAuditor) []string {
			return []string{"--epoch=12", "--verifying-key", f.sign(t, 7, func(s *signature.SignedDigest) { s.Timestamp -= 2 * s.Epoch })}
		}, exitFound, []string{"rejected  the signature by http", "timestamp is before"}},
		{"a proof that was damaged", func(key string, content []byte) []byte {
			if strings.HasPrefix(key, "12/") {
				content[len(content)/2] ^= 1
			}
			return content
		}, func(*testing.T, *fakeAuditor) []string { return []string{given, "--epoch=12"} }, exitFound, []string{"rejected", "signed    by http"}},
		{"not published", func(key string, content []byte) []byte {
			if strings.HasPrefix(key, "12/") {
				return nil
			}
			return content
		}, func(*testing.T, *fakeAuditor) []string { return []string{given, "--epoch=12"} }, exitFound, []string{"missing ", "signed    by http"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			args := []string{"verify", "--epoch=12"}
			if test.change != nil {
				f := newFakeAuditor(t)
				args = append([]string{"verify", "--auditor", f.URL, "--pins", filepath.Join(t.TempDir(), "pins.json")}, test.change(t, f)...)
			}
			args = append(args, "--config", publicConfig(t, test.log))
			status, stdout, stderr := called(t, args...)
			if status != test.status {
				t.Errorf("exit %d, want %d\n%s%s", status, test.status, stdout, stderr)
			}
			for _, want := range test.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("%q is not in\n%s%s", want, stdout, stderr)
				}
			}
			status, stdout, _ = called(t, append(args, "--json")...)
			var p publicEpoch
			if err := json.Unmarshal([]byte(stdout), &p); err != nil || status != test.status || (p.Outcome == "verified") != (status == exitGood) {
				t.Errorf("exit %d: %s", status, stdout)
			}
		})
	}
}

// An auditor whose key has changed is refused here, too.
func TestVerifyPublicEpochRefusesAChangedKey(t *testing.T) {
	t.Parallel()
	f := newFakeAuditor(t)
	args := []string{"verify", "--epoch=12", "--auditor", f.URL, "--pins", filepath.Join(t.TempDir(), "pins.json"), "--config", publicConfig(t, whole)}
	if status, stdout, stderr := called(t, args...); status != exitGood {
		t.Fatalf("exit %d\n%s%s", status, stdout, stderr)
	}
	f.sign(t, 7, func(*signature.SignedDigest) {})
	if status, stdout, stderr := called(t, args...); status != exitFound || !strings.Contains(stdout, "refused   the signature by http") {
		t.Errorf("exit %d\n%s%s", status, stdout, stderr)
	}
	if status, stdout, stderr := called(t, append(args, "--accept-new-key")...); status != exitGood {
		t.Errorf("exit %d\n%s%s", status, stdout, stderr)
	}
}

// The log's own signed digests, of which the configuration has the keys, are checked, too.
func TestVerifyPublicEpochBySignaturesOfTheLog(t *testing.T) {
	t.Parallel()
	file := publicConfig(t, whole)
	for key, want := range map[string]int{vectorKey: exitGood, cloudflare.key: exitFailed} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		own := filepath.Join(t.TempDir(), "ktaudit.yaml")
		more := fmt.Sprintf("%s    signatures: %s\n    verifying_keys: [%s]\n", text, "../../testdata/vectors/whatsapp-v1/signatures", key)
		if err := os.WriteFile(own, []byte(more), 0o600); err != nil {
			t.Fatal(err)
		}
		if status, stdout, stderr := called(t, "verify", "--epoch=12", "--config", own); status != want {
			t.Errorf("exit %d\n%s%s", status, stdout, stderr)
		}
	}
}

func TestVerifyNeedsAnInputOrALog(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{}, {"--preset=whatsapp-v2"}, {"--preset=whatsapp-v2", "--from=1", "--to=2"}, {"--epoch=12"},
		{"--auditor=https://auditor.example", "../../testdata/vectors/whatsapp-v1/log"}, {"--preset=whatsapp-v2", "--epoch=12", "--auditor=auditor.example"},
	} {
		if status, stdout, stderr := called(t, append([]string{"verify"}, args...)...); status != exitFailed || stdout != "" || strings.Contains(stderr, "bucket URL is empty") {
			t.Errorf("%q: exit %d\n%s%s", args, status, stdout, stderr)
		}
	}
}

// Of a configuration with several logs one is chosen, as every command says.
func TestVerifyChoosesALog(t *testing.T) {
	t.Parallel()
	file := publicConfig(t, whole)
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, append(text, "  - {namespace: other, log_directory: ./other}\n"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"verify", "--config", file, "--epoch", "12"}
	if status, _, stderr := called(t, args...); status != exitFailed || !strings.Contains(stderr, "choose one with --namespace") {
		t.Errorf("exit %d\n%s", status, stderr)
	}
	if status, stdout, stderr := called(t, append(args, "--namespace", fakeNamespace)...); status != exitGood {
		t.Errorf("exit %d\n%s%s", status, stdout, stderr)
	}
}

// By default the public logs are asked of Cloudflare's auditor, under its key; flags and cross_check
// go before that.
func TestAuditorsOfLogs(t *testing.T) {
	t.Parallel()
	for _, preset := range config.PresetNames() {
		n, err := config.Preset(preset)
		if err != nil {
			t.Fatal(err)
		}
		want := []askedAuditor{{cloudflare.url, n.Namespace, []string{cloudflare.key}}}
		if got := (verifyCmd{}).auditors(n); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", preset, got, want)
		}
		n.CrossChecks = []config.CrossCheck{{URL: "https://other.example", Namespace: "n", VerifyingKeys: []config.VerifyingKey{{Key: vectorKey}}}}
		want = []askedAuditor{{"https://other.example", "n", []string{vectorKey}}}
		if got := (verifyCmd{}).auditors(n); !reflect.DeepEqual(got, want) {
			t.Errorf("%s with cross_check: %v, want %v", preset, got, want)
		}
		want = []askedAuditor{{"https://auditor.example", n.Namespace, nil}}
		if got := (verifyCmd{auditorFlags: auditorFlags{Auditor: []string{want[0].url}}}).auditors(n); !reflect.DeepEqual(got, want) {
			t.Errorf("%s with a flag: %v, want %v", preset, got, want)
		}
	}
	if got := (verifyCmd{}).auditors(config.Unconfigured("n")); len(got) > 0 {
		t.Errorf("an unknown log: %v", got)
	}
}

// The key signed what the documentation of plexi shows. Of the time it shows the seconds only.
func TestCloudflaresKey(t *testing.T) {
	t.Parallel()
	keys, err := signature.ParseKeys([]string{cloudflare.key})
	if err != nil {
		t.Fatal(err)
	}
	s := signature.SignedDigest{
		Ciphersuite: signature.CiphersuiteProtobuf, Namespace: "whatsapp.key-transparency.v1", Epoch: 489_193, Timestamp: 1_727_110_425_630, KeyID: 0xd4,
	}
	for text, to := range map[string][]byte{
		"cbe5097ae832a3ae51ad866104ffd4aa1f7479e873fd18df9cb96a02fc91ebfe":                                                                 s.Digest[:],
		"fe94973e19da826487b637c019d3ce52f0c08093ada00b4fe6563e2f8117b4345121342bc33aae249be47979dfe704478e2c18aed86e674df9f934b718949c08": s.Signature[:],
	} {
		if _, err := hex.Decode(to, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := keys.Verify(s); err != nil {
		t.Error(err)
	}
}
