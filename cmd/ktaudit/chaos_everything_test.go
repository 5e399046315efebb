package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/testservers"
	"github.com/ktaudit/ktaudit/verdict"
)

var (
	chaosSeed    = flag.Uint64("chaos-seed", 0, "seed of TestChaos; 0 draws one")
	chaosBacklog = flag.Uint64("chaos-backlog", 250, "epochs that are there when TestChaos begins; with a thousand and more, history is sealed meanwhile")
	chaosFor     = flag.Duration("chaos-for", 35*time.Second, "how long TestChaos lets everything go wrong")
)

// calmLasts is in what time all must be done that is published when the storm has passed.
const calmLasts = time.Minute

// aftermath is in what time all must have come right once a storm has passed. A lease ends, and an
// epoch that has failed all the time is tried again, after a pause that is not much longer than it
// has been failing, and no longer than a quarter of an hour.
func aftermath(storm time.Duration) time.Duration {
	return 3*time.Minute + min(storm*3/2, 13*time.Minute)
}

// TestChaos is everything at once: workers, schedulers and Redis are killed, Redis loses its data,
// the S3 server stops, requests to the log and to the audit store fail before and after they took
// effect, bodies end early or trickle, the disk is full, clocks jump by hours, and whoever is told
// of alerts does not answer. Meanwhile the log goes on, and lies now and then.
//
// When it has passed, everything must come right by itself: each epoch has its verdict, what was
// tampered with is rejected for its reason and alerted once, what is honest is verified, and no
// verdict has ever changed. The oracles are status, a second look at every epoch by reverify, the
// outbox and the receiver of the alerts.
//
// The seed decides what happens and when; how it meets the processes is chance, so that a seed that
// failed may not fail again.
//
//	go test ./cmd/ktaudit -run TestChaos -count 1 -v -artifacts -chaos-seed N                  see *.log
//	go test ./cmd/ktaudit -run TestChaos -timeout 2h -v -chaos-for 1h -chaos-backlog 1500     a long one
func TestChaos(t *testing.T) {
	t.Parallel()
	seed := cmp.Or(*chaosSeed, rand.Uint64())
	s := startStorm(t, seed)
	defer func() { // also when t.Fatal ends the test
		if t.Failed() {
			s.explain(20)
			t.Logf("to do it again: -run %s -artifacts -chaos-for %s -chaos-backlog %d -chaos-seed %d", t.Name(), *chaosFor, *chaosBacklog, seed)
		}
	}()
	s.rage(*chaosFor)
	s.calm()
	s.await("all epochs judged after the storm", aftermath(*chaosFor), s.allJudged)
	s.await("all alerts sent after the storm", aftermath(*chaosFor), s.allTold)
	s.await("full shards sealed", calmLasts, s.sealed)
	quiet := time.Now()
	s.publish(40) // five of them tampered with
	s.await("all epochs judged that came later", calmLasts, s.allJudged)
	s.await("all alerts sent that came later", calmLasts, s.allTold)
	s.await("nothing left to tell", calmLasts, s.allOver)
	s.stop(s.processes...)
	s.check(quiet)
	t.Logf("seed %d: %d epochs in %.0f s, %d of them tampered with; done: %v; faults to the log %v, to the audit store %v; %d processes could not start at once",
		seed, s.published, time.Since(s.began).Seconds(), len(s.expected()), s.done, s.toLog.Counts(), s.toStore.Counts(), s.restarts)
}

// rage does all that can be done, in an order and at times that the seed says. It goes on until
// each thing was done.
func (s *storm) rage(length time.Duration) {
	s.t.Helper()
	end := time.Now().Add(length)
	next := time.Now()
	var deck []func()
	for now := time.Now(); now.Before(end) || s.leftOut() != ""; now = time.Now() {
		if now.After(end.Add(time.Minute)) {
			s.t.Fatalf("a minute too late the storm has had no %s", s.leftOut())
		}
		s.tend()
		if now.Before(next) {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		if len(deck) == 0 {
			deck = s.deck()
		}
		deck[0]()
		deck = deck[1:]
		next = now.Add(time.Duration(s.random.Int64N(int64(800 * time.Millisecond))))
	}
}

// deck is what happens next, each thing as often as its weight, shuffled.
func (s *storm) deck() []func() {
	var deck []func()
	add := func(weight int, do func()) {
		for range weight {
			deck = append(deck, do)
		}
	}
	add(6, s.goOn)
	add(5, s.killProcess)
	add(1, s.killRedis)
	add(1, s.loseRedis)
	add(1, s.stopS3)
	add(3, func() { s.faults("faults to the log", s.toLog) })
	add(3, func() { s.faults("faults to the audit store", s.toStore) })
	add(1, s.fillDisk)
	add(1, func() { s.during("deaf webhook", time.Second, 3*time.Second, s.webhook.refuse, s.webhook.accept) })
	if clocksJump {
		add(3, s.jump)
	}
	s.random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	return deck
}

// leftOut names something that a storm must have done to show anything, and has not.
func (s *storm) leftOut() string {
	all := []string{"epochs", "Redis killed", "Redis lost", "S3 stopped", "faults to the log", "faults to the audit store", "full disk", "deaf webhook"}
	for _, p := range s.processes {
		all = append(all, "kill "+p.name)
		if clocksJump {
			all = append(all, "clock of "+p.name)
		}
	}
	for _, what := range all {
		if s.done[what] == 0 {
			return what
		}
	}
	return ""
}

// goOn publishes a few epochs.
func (s *storm) goOn() {
	s.publish(1 + s.random.Uint64N(12))
	s.done["epochs"]++
	s.note("published up to epoch %d", s.published)
}

// one chooses the process that something was done to least often, so that each has its turn, or one
// of these.
func (s *storm) one(what string) *process {
	processes := slices.Clone(s.processes)
	s.random.Shuffle(len(processes), func(i, j int) { processes[i], processes[j] = processes[j], processes[i] })
	return slices.MinFunc(processes, func(a, b *process) int { return cmp.Compare(s.done[what+a.name], s.done[what+b.name]) })
}

func (s *storm) killProcess() {
	p := s.one("kill ")
	s.during("kill "+p.name, 0, 2*time.Second, p.kill, p.start)
}

func (s *storm) startRedis() {
	if err := s.redis.Start(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *storm) killRedis() {
	if !s.inProgress["Redis lost"] {
		s.during("Redis killed", 0, 2*time.Second, s.redis.Kill, s.startRedis)
	}
}

func (s *storm) loseRedis() {
	lose := func() {
		if err := s.redis.Lose(); err != nil {
			s.t.Fatal(err)
		}
	}
	if !s.inProgress["Redis killed"] {
		s.during("Redis lost", 0, 2*time.Second, lose, s.startRedis)
	}
}

// stopS3 stops the server, or kills it, and with it the log as well as the audit store.
func (s *storm) stopS3() {
	stop := s.s3.Stop
	if s.random.IntN(2) == 0 {
		stop = s.s3.Kill
	}
	s.during("S3 stopped", 0, 2*time.Second, stop, func() {
		if err := s.s3.Start(); err != nil {
			s.t.Fatal(err)
		}
	})
}

// faults lets some or most requests go wrong, in all ways or in one.
func (s *storm) faults(name string, to *testservers.FaultyS3) {
	kinds := testservers.Faults
	if s.random.IntN(2) == 0 {
		kinds = kinds[s.random.IntN(len(kinds)):][:1]
	}
	share := 0.2 + 0.75*s.random.Float64()
	s.during(name, time.Second, 4*time.Second,
		func() { s.note("%.0f %% of requests: %v", 100*share, kinds); to.Set(share, kinds...) }, func() { to.Set(0) })
}

// fillDisk lets nothing be written any more.
func (s *storm) fillDisk() {
	s.during("full disk", time.Second, 4*time.Second, func() { s.toStore.Set(1, testservers.DiskFull) }, func() { s.toStore.Set(0) })
}

// jump puts a clock off by up to six hours, and right again after a while. What is put off by a
// clock that is fast by less than a quarter of an hour looks like a pause that is meant, and takes
// that long to pass, which the test does not wait for.
func (s *storm) jump() {
	p := s.one("clock of ")
	const least = 30 * time.Minute
	by := least + time.Duration(s.random.Int64N(int64(6*time.Hour-least)))
	if s.random.IntN(2) == 0 {
		by = -by
	}
	s.during("clock of "+p.name, time.Second, 10*time.Second,
		func() { s.note("by %s", by.Round(time.Second)); s.setClock(p, by) }, func() { s.setClock(p, 0) })
}

// calm undoes all that is still to be undone.
func (s *storm) calm() {
	s.t.Helper()
	s.note("calm")
	for i := range s.later {
		s.later[i].at = time.Time{}
	}
	s.tend()
	s.ended = time.Now()
	s.note("calm: %d of %d epochs have a verdict", s.verdicts.count(), s.published)
}

// await waits until something has come about.
func (s *storm) await(what string, within time.Duration, done func() error) {
	s.t.Helper()
	began := time.Now()
	for {
		s.tend()
		err := done()
		if err == nil {
			s.note("%s: after %.1f s", what, time.Since(began).Seconds())
			return
		}
		if time.Since(began) > within {
			s.t.Fatalf("not %s within %s: %v", what, within, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (s *storm) allJudged() error {
	if n := s.verdicts.count(); n < s.published {
		return fmt.Errorf("%d of %d epochs have a verdict", n, s.published)
	}
	return nil
}

// sealed wants the first shard to be sealed if it is full.
func (s *storm) sealed() error {
	histories, err := filepath.Glob(filepath.Join(s.store, "history", "*.json"))
	if err == nil && len(histories) == 0 && s.published >= verdict.EpochsPerShard {
		err = errors.New("there is no history")
	}
	return err
}
