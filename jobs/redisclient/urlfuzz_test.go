package redisclient

import (
	"strings"
	"testing"
)

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
