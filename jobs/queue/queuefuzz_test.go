package queue

import (
	"strings"
	"testing"
)

// Whoever can reach Redis can put anything on a queue.
func FuzzTask(f *testing.F) {
	for _, seed := range []string{
		`{"namespace":"test.key-transparency.v1","epoch":17}`, `{"namespace":"x","epoch":0}`, `{"epoch":1e3}`, `[]`, ``,
		`{"namespace":"x","epoch":18446744073709551615}`, `{"namespace":"x","epoch":18446744073709551616}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		task, err := ParseTask(payload)
		if err != nil {
			if len(err.Error()) > 2000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		for n := range 2 {
			if epoch, ok := EpochOfID(task.Namespace, task.generation(n)); !ok || epoch != task.Epoch {
				t.Errorf("ID %q is of epoch %d, %v", task.generation(n), epoch, ok)
			}
		}
	})
}

// No part of a password may come out again, whatever is wrong with the rest of the URL.
func FuzzRedisURLKeepsThePassword(f *testing.F) {
	for _, seed := range [][2]string{
		{"redis", "h:1/2"}, {"rediss", "[::1]:7"}, {"unix", "/s?db=x"}, {"redis-sentinel", "a,b?master="}, {"http", "h"}, {"redis", "h%zz?%zz"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, scheme, rest string) {
		const password = "hunter2hunter2"
		if strings.Contains(scheme+rest, "hunter2") {
			return
		}
		_, shown, err := parseRedisURL(scheme + "://user:" + password + "@" + rest)
		if strings.Contains(shown, "hunter2") || err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("shown as %q, %v", shown, err)
		}
	})
}
