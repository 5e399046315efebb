package testservers

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// rights are what a FaultyS3 allows, and what it was asked for, as actions of AWS's policies.
type rights struct {
	allowed []string // nil: everything
	used    map[string]bool
	denied  []string // actions and keys
	plain   []string // keys that were written without a condition
}

// Allow answers 403 to whatever takes an action other than these, and forgets what was asked for.
func (f *FaultyS3) Allow(actions ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rights = rights{allowed: actions, used: map[string]bool{}}
}

// Used returns the actions that were asked for, in order, and those that were denied, with keys.
func (f *FaultyS3) Used() (actions, denied []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.used)), slices.Clone(f.denied)
}

// Overwritable returns the keys that were written without If-None-Match.
func (f *FaultyS3) Overwritable() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.plain)
}

// forbids answers a request that is not allowed, or returns false.
func (f *FaultyS3) forbids(w http.ResponseWriter, r *http.Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.allowed == nil {
		return false
	}
	action := actionOf(r)
	f.used[action] = true
	if r.Method == http.MethodPut && r.Header.Get("If-None-Match") == "" {
		f.plain = append(f.plain, r.URL.Path)
	}
	if slices.Contains(f.allowed, action) {
		return false
	}
	f.denied = append(f.denied, action+" "+r.URL.Path)
	answer(w, http.StatusForbidden, "AccessDenied")
	return true
}

// actionOf names what a request takes, as AWS's policies do.
func actionOf(r *http.Request) string {
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case key == "" && r.Method == http.MethodGet:
		return "s3:ListBucket"
	case key == "":
		return "a request to the bucket: " + r.Method
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		return "s3:GetObject"
	case r.Method == http.MethodDelete && r.URL.Query().Has("uploadId"):
		return "s3:AbortMultipartUpload"
	case r.Method == http.MethodDelete:
		return "s3:DeleteObject"
	}
	return "s3:PutObject" // and the parts of an upload
}
