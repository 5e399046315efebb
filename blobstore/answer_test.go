package blobstore

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/aws/smithy-go"
	"google.golang.org/api/googleapi"

	smithyhttp "github.com/aws/smithy-go/transport/http"
)

func s3Error(status int, code string) error {
	answer := &smithyhttp.Response{Response: &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {"7"}}}}
	return &smithyhttp.ResponseError{Response: answer, Err: &smithy.GenericAPIError{Code: code}}
}

// Each service has errors of its own, and means the same.
func TestAnswers(t *testing.T) {
	t.Parallel()
	retry := http.Header{"Retry-After": {"7"}}
	const seven = 7 * time.Second
	for name, test := range map[string]struct {
		err       error
		status    int
		forbidden bool
		pause     time.Duration
	}{
		"S3 denied":      {s3Error(403, "AccessDenied"), 403, true, seven},
		"S3 clock":       {s3Error(403, "RequestTimeTooSkewed"), 403, false, seven},
		"S3 slow down":   {s3Error(503, "SlowDown"), 503, false, seven},
		"S3 too many":    {s3Error(429, "TooManyRequests"), 429, false, seven},
		"Google denied":  {&googleapi.Error{Code: 403}, 403, true, 0},
		"Google quota":   {&googleapi.Error{Code: 403, Errors: []googleapi.ErrorItem{{Reason: "userRateLimitExceeded"}}}, 403, false, 0},
		"Google slow":    {&googleapi.Error{Code: 429, Header: retry}, 429, false, seven},
		"Azure denied":   {&azcore.ResponseError{StatusCode: 403}, 403, true, 0},
		"Azure slow":     {&azcore.ResponseError{StatusCode: 503, RawResponse: &http.Response{Header: retry}}, 503, false, seven},
		"Azure silent":   {&azcore.ResponseError{StatusCode: 503}, 503, false, 0},
		"owner":          {&fs.PathError{Err: fs.ErrPermission}, 0, true, 0},
		"read-only disk": {&fs.PathError{Err: syscall.EROFS}, 0, true, 0},
		"full disk":      {&fs.PathError{Err: syscall.ENOSPC}, 0, false, 0},
		"other":          {errors.New("other"), 0, false, 0},
		"none":           {nil, 0, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := test.err
			if err != nil {
				err = fmt.Errorf("wrapped: %w", err)
			}
			pause := retryAfter(err, time.Minute)
			if Status(err) != test.status || IsForbidden(err) != test.forbidden || pause != test.pause {
				t.Errorf("status %d, forbidden %v, pause %v", Status(err), IsForbidden(err), pause)
			}
		})
	}
}
