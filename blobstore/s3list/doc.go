// Package s3list reads public logs: buckets that anybody may list and read over HTTPS, as S3 and the content networks in
// front of it answer (ListObjectsV2 and GET), without credentials. It is a read-only gocloud driver:
//
//	s3list+https://d4ttn6vhp3mg0.cloudfront.net?rate=5&contact=ops@example.org
//
// It promises that nothing else is taken for a listing or for an object. An empty listing means "not published", so a login
// page, a cut-off answer, the answer to another question and a page that was served before are errors, never an empty
// listing. A body comes whole and of one version of the object, or ends in an error. Answers are hostile and have limits.
//
// It also promises to be a polite guest: all buckets of a host share one rate of requests, a host that asks for time is given
// it, failures are asked about again a few times with growing, random waits, and each request says who asks.
//
// What the objects mean is left to others. The package does not log, keeps no cookies and sends no credentials.
package s3list
