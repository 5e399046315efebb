// Package s3list reads public logs: buckets that anybody may list and read over HTTPS, without
// credentials, as S3 and the content delivery networks in front of it serve them (ListObjectsV2 and
// GET). It is a read-only gocloud driver:
//
//	s3list+https://d4ttn6vhp3mg0.cloudfront.net?rate=5&contact=ops@example.org
//
// It promises that it takes nothing else for a listing or an object. An empty listing means "not
// published", so a login page, a truncated answer, the answer to another question and a page that
// was served before are errors, never an empty listing. Content networks keep empty listings for
// minutes: each request therefore has a random parameter, and Freshness tells what caches say they
// kept. A body comes whole and of one version of
// the object, or ends in an error. Answers may be hostile and have limits: in
// bytes, in time over all attempts, and in the hosts that they redirect to. What a server said is
// cut and cleaned before it is in an error.
//
// It also promises to be polite: all buckets of a host share one rate of requests, Retry-After is
// obeyed, failed requests are repeated a few times with growing random waits, and each request says
// who sends it.
//
// It leaves to others what the objects mean. It does not log, keeps no cookies and sends no
// credentials.
package s3list
