package jsonpost

import (
	"net/http"
	"testing"
	"time"
)

// A target may ask for a pause, in seconds or by a date, but for no longer than some minutes.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for header, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-7": 0, "soon": 0, "99999999999999999999": 0, "86400": maxRetryAfter, "9223372036854775807": maxRetryAfter,
		now.Add(90 * time.Second).UTC().Format(http.TimeFormat):   90 * time.Second,
		now.Add(-90 * time.Second).UTC().Format(http.TimeFormat):  0,
		now.Add(9000 * time.Second).UTC().Format(http.TimeFormat): maxRetryAfter,
		now.Add(time.Hour*1e5).UTC().Format(time.RFC3339) + "-x":  0,
	} {
		if got := retryAfter(header, now); got > want || got < want-time.Second {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}
