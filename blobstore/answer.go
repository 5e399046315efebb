package blobstore

import (
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/aws/smithy-go"
	"github.com/ktaudit/ktaudit/internal/wait"
	"gocloud.dev/gcerrors"
	"google.golang.org/api/googleapi"

	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Status returns the HTTP status with which a service has answered; 0 if it has not, or is none
// that answers over HTTP. The drivers' own codes say less: S3's has no word for "too many requests"
// or "not implemented", and Google's calls what is forbidden not found.
func Status(err error) int {
	if s3, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); ok {
		return s3.HTTPStatusCode()
	}
	if google, ok := errors.AsType[*googleapi.Error](err); ok {
		return google.Code
	}
	if azure, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return azure.StatusCode
	}
	return 0
}

// retryAfter returns for how long a service asks to wait, at most longest; 0 if it does not say.
func retryAfter(err error, longest time.Duration) time.Duration {
	return wait.RetryAfter(header(err).Get("Retry-After"), time.Now(), longest)
}

// header returns the header of a service's answer.
func header(err error) http.Header {
	if s3, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && s3.Response != nil && s3.Response.Response != nil {
		return s3.Response.Header
	}
	if google, ok := errors.AsType[*googleapi.Error](err); ok {
		return google.Header
	}
	if azure, ok := errors.AsType[*azcore.ResponseError](err); ok && azure.RawResponse != nil {
		return azure.RawResponse.Header
	}
	return nil
}

// IsForbidden reports whether a service, or a folder's owner, does not allow what was asked for. A
// clock that is wrong and a quota are forbidden, too, in words of their own, and may pass.
func IsForbidden(err error) bool {
	if s3, ok := errors.AsType[smithy.APIError](err); ok && s3.ErrorCode() == "RequestTimeTooSkewed" {
		return false
	}
	if google, ok := errors.AsType[*googleapi.Error](err); ok {
		for _, item := range google.Errors {
			if strings.Contains(strings.ToLower(item.Reason), "limitexceeded") {
				return false
			}
		}
	}
	switch Status(err) {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusMethodNotAllowed:
		return true
	}
	return gcerrors.Code(err) == gcerrors.PermissionDenied || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}
