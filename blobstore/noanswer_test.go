package blobstore

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestNoAnswerIsNoMistake(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status   int // 0: nobody is there
		noAnswer bool
	}{
		"nobody there":    {0, true},
		"server at fault": {http.StatusInternalServerError, true},
		"overloaded":      {http.StatusServiceUnavailable, true},
		"forbidden":       {http.StatusForbidden, false},
		"no such bucket":  {http.StatusNotFound, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(test.status) }))
			defer server.Close()
			url := "s3list+" + server.URL
			if test.status == 0 {
				url = "s3list+http://127.0.0.1:1"
			}
			if _, err := OpenBucket(t.Context(), url); err == nil || errors.Is(err, ErrNoAnswer) != test.noAnswer {
				t.Errorf("error is %v, ErrNoAnswer: %v, want %v", err, errors.Is(err, ErrNoAnswer), test.noAnswer)
			}
			bucket, err := OpenUnasked(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			if err := bucket.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := OpenUnasked(t.Context(), "s3list+https://"); err == nil {
		t.Error("a URL without a host is opened")
	}
}
