// Package api answers over HTTP: what an auditor's clients ask, as the published client plexi reads
// it, and what is on record here. It takes a log's posts.
//
// It promises that an answer says no more than the audit store does, that who may not post costs
// nothing, and that no request, whoever sends it, takes more than its class of requests has. The
// queue, TLS and files are left to others, and so is what becomes of a post.
package api
