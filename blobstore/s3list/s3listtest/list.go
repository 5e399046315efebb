package s3listtest

import (
	"encoding/base64"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gocloud.dev/blob"
)

// result is S3's answer, in S3's order.
type result struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name                  string
	Prefix                string
	StartAfter            string `xml:",omitempty"`
	ContinuationToken     string `xml:",omitempty"`
	NextContinuationToken string `xml:",omitempty"`
	KeyCount              int
	MaxKeys               int
	Delimiter             string `xml:",omitempty"`
	EncodingType          string `xml:",omitempty"`
	IsTruncated           bool
	Contents              []content
	CommonPrefixes        []folder
}

type content struct {
	Key               string
	LastModified      string
	ETag              string
	ChecksumAlgorithm string
	ChecksumType      string
	Size              int64
	StorageClass      string
}

type folder struct{ Prefix string }

// list answers ListObjectsV2.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	maxKeys, err := 1000, error(nil)
	if q.Has("max-keys") {
		maxKeys, err = strconv.Atoi(q.Get("max-keys"))
	}
	after := q.Get("start-after")
	if token := q.Get("continuation-token"); token != "" && err == nil {
		var b []byte
		b, err = base64.StdEncoding.DecodeString(token)
		after = string(b)
	}
	if err != nil || maxKeys < 0 || q.Get("list-type") != "2" || q.Has("encoding-type") && q.Get("encoding-type") != "url" {
		fail(w, http.StatusBadRequest, "InvalidArgument")
		return
	}
	answer := result{Name: "public-log", Prefix: q.Get("prefix"), StartAfter: q.Get("start-after"),
		ContinuationToken: q.Get("continuation-token"), MaxKeys: min(maxKeys, 1000), Delimiter: q.Get("delimiter"),
		EncodingType: q.Get("encoding-type")}
	if err := s.fill(r, &answer, after); err != nil {
		fail(w, http.StatusInternalServerError, "InternalError")
		return
	}
	if answer.EncodingType == "url" {
		answer.escape()
	}
	text, err := xml.Marshal(answer)
	if err != nil {
		fail(w, http.StatusInternalServerError, "InternalError")
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("x-amz-bucket-region", "us-east-1")
	_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+string(text))
}

// fill puts in what comes after a key. The bucket lists in byte order, as S3 does.
func (s *Server) fill(r *http.Request, answer *result, after string) error {
	objects := s.bucket.List(&blob.ListOptions{Prefix: answer.Prefix})
	last := ""
	for {
		o, err := objects.Next(r.Context())
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if s.lags(o.ModTime) {
			continue
		}
		name, isFolder := o.Key, false
		if i := strings.Index(o.Key[len(answer.Prefix):], answer.Delimiter); answer.Delimiter != "" && i >= 0 {
			name, isFolder = o.Key[:len(answer.Prefix)+i+len(answer.Delimiter)], true
		}
		if o.Key <= after || isFolder && (name == last || name == after) {
			continue
		}
		if answer.KeyCount == answer.MaxKeys {
			answer.IsTruncated = answer.MaxKeys > 0
			answer.NextContinuationToken = base64.StdEncoding.EncodeToString([]byte(last))
			return nil
		}
		last = name
		answer.KeyCount++
		if isFolder {
			answer.CommonPrefixes = append(answer.CommonPrefixes, folder{name})
			continue
		}
		attributes, err := s.bucket.Attributes(r.Context(), o.Key)
		if err != nil {
			return err
		}
		answer.Contents = append(answer.Contents, content{
			Key: o.Key, LastModified: o.ModTime.UTC().Truncate(time.Second).Format("2006-01-02T15:04:05.000Z"), ETag: s.etag(o.Key, attributes.ETag),
			ChecksumAlgorithm: "CRC64NVME", ChecksumType: "FULL_OBJECT", Size: s.size(o.Key, o.Size), StorageClass: "STANDARD",
		})
	}
}

// escape is encoding-type=url: a space becomes a plus, and slashes stay.
func (a *result) escape() {
	texts := []*string{&a.Prefix, &a.Delimiter, &a.StartAfter}
	for i := range a.Contents {
		texts = append(texts, &a.Contents[i].Key)
	}
	for i := range a.CommonPrefixes {
		texts = append(texts, &a.CommonPrefixes[i].Prefix)
	}
	for _, text := range texts {
		*text = strings.ReplaceAll(url.QueryEscape(*text), "%2F", "/")
	}
}
