package blobstore

import (
	"strconv"

	"cloud.google.com/go/storage"
	azure "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
)

// ETag returns what a service calls the state of the object that a body is of: its ETag or, with
// Google, its generation. It is empty for other kinds of bucket. It is for fetcher.Options.
func ETag(body *blob.Reader) string {
	var amazon s3.GetObjectOutput
	var microsoft azure.DownloadStreamResponse
	var google *storage.Reader
	switch {
	case body.As(&amazon):
		return aws.ToString(amazon.ETag)
	case body.As(&microsoft) && microsoft.ETag != nil:
		return string(*microsoft.ETag)
	case body.As(&google):
		return strconv.FormatInt(google.Attrs.Generation, 10)
	}
	return ""
}
