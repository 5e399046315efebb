package s3list

import (
	"net/http"
	"time"
)

// Answers are a listing's answers as they came, one for each request that was answered with a page,
// for whoever keeps them as evidence:
//
//	var a s3list.Answers
//	objects, _, err := bucket.ListPage(ctx, blob.FirstPageToken, 1000,
//		&blob.ListOptions{Prefix: "7/", BeforeList: a.Watch})
//
// They stay empty for kinds of bucket that s3list does not open.
type Answers struct{ All []Answer }

// Answer is one page as the log's server sent it.
type Answer struct {
	URL    string
	At     time.Time // when it had come whole
	Header http.Header
	Body   []byte
}

// Watch is a BeforeList of blob.ListOptions that has a keep the answers.
func (a *Answers) Watch(as func(any) bool) error {
	as(a)
	return nil
}

// watchers are what the caller of a listing wants to know about it.
type watchers struct {
	freshness *Freshness
	answers   *Answers
}

// as is what gocloud hands to a BeforeList.
func (w *watchers) as(target any) bool {
	switch t := target.(type) {
	case *Freshness:
		w.freshness = t
	case *Answers:
		w.answers = t
	default:
		return false
	}
	return true
}
