package main

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/blobstore/auditstore"
	"github.com/ktaudit/ktaudit/internal/config"
	"github.com/ktaudit/ktaudit/internal/jobstest"
	"github.com/ktaudit/ktaudit/transparency"
	"github.com/ktaudit/ktaudit/transparency/tlogtest"
	"github.com/rs/zerolog"
)

// TestSchedulersKeepTheVerdictLog: a scheduler has a loop for it beside its others, if one is
// configured.
func TestSchedulersKeepTheVerdictLog(t *testing.T) {
	t.Parallel()
	store := auditstore.New(jobstest.OpenMemory(t))
	n := config.DefaultNamespace()
	n.Namespace, n.LogDirectory = jobstest.Namespace, t.TempDir()
	o := observed{namespaces: []config.Namespace{n}, store: store}
	loops := func() []func(context.Context) {
		var open closers
		t.Cleanup(func() { _ = open.close() })
		schedules, err := newSchedules(t.Context(), &app{log: zerolog.Nop()}, o, observers{}, &open)
		jobstest.Must(t, err)
		return schedules[0].Beside
	}
	before := len(loops())
	file := filepath.Join(t.TempDir(), "log.key")
	jobstest.Must(t, os.WriteFile(file, []byte(hex.EncodeToString(tlogtest.Key("scheduler").Seed())), 0o600))
	settings := config.Default()
	settings.VerdictLog = config.VerdictLog{Origin: "auditor.example.org", Key: config.Key{File: file}, Every: time.Hour}
	var err error
	o.verdictLog, err = openVerdictLog(&settings, true)
	jobstest.Must(t, err)
	all := loops()
	if len(all) != before+1 {
		t.Fatalf("%d loops with a verdict log, %d without", len(all), before)
	}
	_, _, err = store.PutVerdict(t.Context(), jobstest.GoodVerdict(5))
	jobstest.Must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { all[len(all)-1](ctx); close(done) }()
	log := transparency.Open(store, jobstest.Namespace, transparency.Verdicts)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if _, err := log.File(t.Context(), "checkpoint"); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is appended after a minute")
		}
	}
	cancel()
	<-done
	if first, err := log.First(t.Context()); first != 5 || err != nil {
		t.Errorf("the log begins with epoch %d, %v", first, err)
	}
}

// TestKeyOfTheVerdictLog: what signs needs the key, what checks needs one of two; without it they
// fail rather than to leave out the check.
func TestKeyOfTheVerdictLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "log.key")
	key := tlogtest.Key("ours")
	jobstest.Must(t, os.WriteFile(file, []byte(hex.EncodeToString(key.Seed())), 0o600))
	publicOf := func(name string) string {
		return hex.EncodeToString(tlogtest.Key(name).Public().(ed25519.PublicKey))
	}
	for _, c := range []struct {
		name           string
		log            config.VerdictLog
		signs, checks  string // the errors
		withoutPrivate bool   // of what checks
	}{
		{"the key", config.VerdictLog{Key: config.Key{File: file}}, "", "", false},
		{"both", config.VerdictLog{Key: config.Key{File: file}, PublicKey: publicOf("ours")}, "", "", true},
		{"the public key", config.VerdictLog{PublicKey: publicOf("ours")}, "only public_key is given", "", true},
		{"another public key", config.VerdictLog{Key: config.Key{File: file}, PublicKey: publicOf("other")}, "public_key is not that of", "", true},
		{"a key that is not there", config.VerdictLog{Key: config.Key{File: file + "s"}}, "no such file", "verdict_log.public_key does", false},
		{"the same, and the public key", config.VerdictLog{Key: config.Key{File: file + "s"}, PublicKey: publicOf("ours")}, "no such file", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			settings := config.Default()
			settings.VerdictLog = c.log
			settings.VerdictLog.Origin = "auditor.example.org"
			for signs, want := range map[bool]string{true: c.signs, false: c.checks} {
				v, err := openVerdictLog(&settings, signs)
				if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
					t.Fatalf("signs %v: %v, want %q", signs, err, want)
				}
				if err == nil && (v.private == nil) != (!signs && c.withoutPrivate) {
					t.Errorf("signs %v: a private key is read: %v", signs, v.private != nil)
				}
			}
		})
	}
	none := config.Default()
	if v, err := openVerdictLog(&none, true); v != nil || err != nil {
		t.Errorf("without a verdict log: %v, %v", v, err)
	}
}
