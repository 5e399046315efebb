// Package s3listing reads S3's listings.
//
// It promises that [Parse] takes a whole ListBucketResult of the second version and nothing else,
// in bounded memory. Listings may be hostile, and anything may have answered in place of a server:
// a proxy, a login page. Asking for a listing, and whether an answer is one to the request, are the
// business of blobstore/s3list.
package s3listing
