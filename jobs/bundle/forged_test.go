package bundle_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/internal/simlog"
	"github.com/ktaudit/ktaudit/jobs/bundle"
	"github.com/ktaudit/ktaudit/signature"
	"github.com/ktaudit/ktaudit/validator"
	"github.com/ktaudit/ktaudit/verdict"
)

// manifest changes what a bundle says of itself.
func manifest(t *testing.T, change func(*bundle.Manifest)) func([]file) []file {
	return func(files []file) []file {
		var m bundle.Manifest
		jobstest.Must(t, json.Unmarshal(files[0].data, &m))
		change(&m)
		data, err := json.Marshal(m)
		jobstest.Must(t, err)
		files[0].data = data
		return files
	}
}

// signed is a signed digest.
func signed(t *testing.T, by ed25519.PrivateKey, epoch uint64, digest [32]byte, timestamp uint64) []byte {
	t.Helper()
	s, err := signature.Sign(by, signature.CiphersuiteProtobuf, jobstest.Namespace, timestamp, epoch, digest)
	jobstest.Must(t, err)
	data, err := json.Marshal(s)
	jobstest.Must(t, err)
	return data
}

// signedAgain is the log's signed digest of an epoch, signed again a year later.
func signedAgain(t *testing.T, files []file, epoch uint64) []byte {
	t.Helper()
	i := slices.IndexFunc(files, func(f file) bool { return f.path == fmt.Sprintf("signatures/%012d.json", epoch) })
	before, err := signature.Parse(files[i].data)
	jobstest.Must(t, err)
	return signed(t, jobstest.Key(), epoch, before.Digest, before.Timestamp+365*24*3600*1000)
}

func public(key ed25519.PrivateKey) string { return hex.EncodeToString(key[32:]) }

// Whatever anybody can make up without the log's keys is proven to nobody, and says what it rests
// on.
func TestWhatAnybodyCanMakeUp(t *testing.T) {
	t.Parallel()
	forger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, ed25519.SeedSize))
	two := func(t *testing.T, by ed25519.PrivateKey) func([]file) []file {
		return func(files []file) []file {
			return append(files, file{"evidence/signature-0.json", signed(t, by, 2, [32]byte{1}, 1)}, file{"evidence/signature-1.json", signed(t, by, 2, [32]byte{2}, 1)})
		}
	}
	bring := func(keys ...string) func(*bundle.Manifest) {
		return func(m *bundle.Manifest) { m.VerifyingKeys = keys }
	}
	signedTwice := func(t *testing.T, by ed25519.PrivateKey, m func(*bundle.Manifest)) func([]file) []file {
		return func(files []file) []file {
			return two(t, by)(manifest(t, m)(edit("verdicts/000000000002", asReason(verdict.Equivocation))(files)))
		}
	}
	log := jobstest.Key()
	for name, c := range map[string]struct {
		tamper simlog.Kind
		change func(t *testing.T) func([]file) []file // nil: none
		// what the reader is told without naming anything, and with the log's key and configuration
		want, named bundle.Result
		says        string
	}{
		"a batch that does not verify": {
			tamper: simlog.Malformed, want: bundle.Shown, named: bundle.Shown, says: "does not prove what its name says",
		},
		"a spoiled signature": {
			tamper: simlog.Signature, want: bundle.Shown, named: bundle.Shown, says: "not who wrote it",
		},
		"a spoiled signature, of a key that is not known": {
			tamper: simlog.Signature, want: bundle.NotShown, named: bundle.Shown,
			change: func(t *testing.T) func([]file) []file { return manifest(t, bring(public(forger))) },
			says:   "no signed digest that is wrong like that under these keys",
		},
		"an honest batch as of a log that is hashed otherwise": {
			want: bundle.NotShown, named: bundle.NotShown, says: "verifies if the log's tree is hashed as whatsapp_v1",
			change: func(t *testing.T) func([]file) []file {
				return func(files []file) []file {
					files = edit("verdicts/000000000002", asReason(verdict.PreviousDigestMismatch))(files)
					return manifest(t, func(m *bundle.Manifest) { m.Configuration = "experimental:Other" })(files)
				}
			},
		},
		"two digests, signed by a key of the forger's own": {
			want: bundle.Shown, named: bundle.NotShown, says: "if these keys, which the bundle brings itself, are the log's: two digests",
			change: func(t *testing.T) func([]file) []file { return signedTwice(t, forger, bring(public(forger))) },
		},
		"two digests, signed by the log": {
			want: bundle.Shown, named: bundle.Proven, says: "two digests are signed for epoch 2",
			change: func(t *testing.T) func([]file) []file { return signedTwice(t, log, bring(public(log))) },
		},
		"two digests, signed by the log's key before its range": {
			want: bundle.NotShown, named: bundle.Proven, says: "not trusted for that epoch",
			change: func(t *testing.T) func([]file) []file { return signedTwice(t, log, bring(public(log)+"@3-")) },
		},
		"two digests, signed by the log's key after its range": {
			want: bundle.NotShown, named: bundle.Proven, says: "not trusted for that epoch",
			change: func(t *testing.T) func([]file) []file { return signedTwice(t, log, bring(public(log)+"@-1")) },
		},
		"two digests, signed by the log's key within its range": {
			want: bundle.Shown, named: bundle.Proven, says: "two digests are signed for epoch 2",
			change: func(t *testing.T) func([]file) []file { return signedTwice(t, log, bring(public(log)+"@2-2")) },
		},
		"two neighbours, of which an honest log has signed the first one again": {
			want: bundle.Shown, named: bundle.Shown, says: "may have been signed again",
			change: func(t *testing.T) func([]file) []file {
				return func(files []file) []file {
					files = edit("verdicts/000000000002", asReason(verdict.SignatureInvalid))(files)
					return manifest(t, bring(public(log)))(append(files, file{"evidence/signed-digest-before-0.json", signedAgain(t, files, 1)}))
				}
			},
		},
		"two digests, one of them of another epoch": {
			want: bundle.NotShown, named: bundle.NotShown, says: "another namespace or epoch",
			change: func(t *testing.T) func([]file) []file {
				return func(files []file) []file {
					files = edit("verdicts/000000000002", asReason(verdict.Equivocation))(files)
					return append(files, file{"evidence/signature-0.json", signed(t, log, 7, [32]byte{1}, 1)})
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kind := c.tamper
			if kind == "" {
				kind = simlog.Malformed // for a bundle to begin with
			}
			w := jobstest.NewWorld(t, simlog.Options{Epochs: 3, Tamper: map[uint64]simlog.Kind{2: kind}})
			honest := jobstest.NewWorld(t, simlog.Options{Epochs: 3})
			audits(t, w, true, 1, 2, 3)
			files := unpack(t, write(t, w, 2))
			if c.tamper == "" {
				batch, err := honest.Log.ReadAll(t.Context(), honest.KeyOf(t, 2))
				jobstest.Must(t, err)
				files = honestly(t, files, batch)
			}
			if c.change != nil {
				files = c.change(t)(files)
			}
			data := pack(t, fit(t, files))
			got, err := verify(t.Context(), data, signature.Keys{})
			if err != nil || got.Result != c.want || got.Holds {
				t.Errorf("%s, want %s: %+v, %v", got.Result, c.want, got.Claims, err)
			}
			if shown, _ := json.Marshal(got); !strings.Contains(string(shown), c.says) {
				t.Errorf("it does not say %q: %s", c.says, shown)
			}
			got, err = verifyAs(t.Context(), data, w.Keys, validator.WhatsAppV1())
			if err != nil || got.Result != c.named || got.Holds != (c.named == bundle.Proven) || !got.OwnKeys || !got.OwnConfiguration {
				t.Errorf("with what the reader names: %s, want %s: %+v, %v", got.Result, c.named, got.Claims, err)
			}
		})
	}
}

func asReason(reason verdict.Reason) func([]byte) []byte {
	return func(data []byte) []byte {
		return bytes.Replace(data, []byte(verdict.MalformedProof), []byte(reason), 1)
	}
}

// honestly puts an honest batch in the place of the one that was rejected.
func honestly(t *testing.T, files []file, batch []byte) []file {
	t.Helper()
	var rejected string
	for i, f := range files {
		if strings.HasPrefix(f.path, "batches/") {
			rejected, files[i].data = sum(f.data), batch
		}
	}
	return edit("verdicts/000000000002", func(data []byte) []byte {
		return bytes.Replace(data, []byte(rejected), []byte(sum(batch)), 1)
	})(files)
}
