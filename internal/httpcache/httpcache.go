// Package httpcache reads what caches and content networks say of an answer that they pass on.
//
// It promises nothing about caches that hide themselves.
package httpcache

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/text"
)

// Read returns whether a cache on the way said that it had kept an answer, for how long, and its
// words, cleaned and at most 100 bytes. It reads the standard's Age and Cache-Status (RFC 9111 and
// 9211), and what the large content networks send besides. "RefreshHit" and "revalidated" are
// answers that the log has just confirmed.
func Read(h http.Header) (cached bool, age time.Duration, said string) {
	if value := h.Get("Age"); value != "" {
		seconds, err := strconv.ParseUint(value, 10, 31)
		if err == nil {
			age = time.Duration(seconds) * time.Second
		}
		cached = err != nil || seconds > 0 // what cannot be read is an age all the same
	}
	for _, name := range []string{"X-Cache", "Cf-Cache-Status", "Cache-Status"} {
		for _, value := range h.Values(name) {
			if said == "" {
				said = text.Clean(value, 100)
			}
			cached = cached || saysHit(value)
		}
	}
	return cached, age, said
}

// saysHit reads "Hit from cloudfront", "TCP_MEM_HIT", "MISS, HIT", "STALE" and "name; hit; ttl=5".
func saysHit(value string) bool {
	const longest = 1 << 10 // these headers are one line of text
	words := strings.FieldsFunc(strings.ToLower(value[:min(len(value), longest)]), func(r rune) bool {
		return strings.ContainsRune(" ,;\t", r)
	})
	for _, word := range words {
		switch {
		case strings.Contains(word, "refresh") || strings.Contains(word, "revalidat"):
		case word == "hit" || word == "stale" || word == "updating" || strings.HasSuffix(word, "_hit"):
			return true
		}
	}
	return false
}
