package s3listtest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// Names is a log of which there are only names: a handler that lists millions of epochs, in S3's
// order, without an object behind them. Set it up before it is used.
type Names struct {
	// First and Last are the epochs that it lists.
	First, Last uint64
	// Digest is the digest after an epoch; by default one made of the number.
	Digest func(epoch uint64) string
	// Missing are epochs that are not listed. Previous is with which digest an epoch begins instead
	// of that of the epoch before. Extra are other keys, ascending.
	Missing  map[uint64]bool
	Previous map[uint64]string
	Extra    []string

	Requests atomic.Int64
}

// DigestOf is a digest made of a number.
func DigestOf(epoch uint64) string {
	sum := sha256.Sum256(strconv.AppendUint(nil, epoch, 10))
	return hex.EncodeToString(sum[:])
}

// KeyOf returns the key of an epoch's batch.
func (n *Names) KeyOf(epoch uint64) string {
	digest := n.Digest
	if digest == nil {
		digest = DigestOf
	}
	previous, ok := n.Previous[epoch]
	if !ok {
		previous = digest(epoch - 1)
	}
	return strconv.FormatUint(epoch, 10) + "/" + previous + "/" + digest(epoch)
}

// ServeHTTP answers a listing.
func (n *Names) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.Requests.Add(1)
	q := r.URL.Query()
	size := 1000
	if q.Has("max-keys") {
		size, _ = strconv.Atoi(q.Get("max-keys"))
	}
	after, prefix := q.Get("start-after"), q.Get("prefix")
	if token := q.Get("continuation-token"); token != "" {
		text, _ := base64.StdEncoding.DecodeString(token)
		after = string(text)
	}
	keys, more := n.keys(prefix, after, min(size, 1000))
	var b strings.Builder
	b.Grow(500 + 360*len(keys))
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>log</Name>`+
		`<Prefix>%s</Prefix><KeyCount>%d</KeyCount><MaxKeys>%d</MaxKeys><EncodingType>url</EncodingType><IsTruncated>%t</IsTruncated>`,
		url.QueryEscape(prefix), len(keys), size, more)
	if more {
		fmt.Fprintf(&b, `<NextContinuationToken>%s</NextContinuationToken>`, base64.StdEncoding.EncodeToString([]byte(keys[len(keys)-1])))
	}
	for _, key := range keys {
		b.WriteString(`<Contents><Key>`)
		b.WriteString(strings.ReplaceAll(url.QueryEscape(key), "%2F", "/"))
		b.WriteString(`</Key><LastModified>2026-03-04T05:06:07.000Z</LastModified><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag>` +
			`<Size>45000000</Size><StorageClass>STANDARD</StorageClass></Contents>`)
	}
	b.WriteString(`</ListBucketResult>`)
	w.Header().Set("Content-Type", "application/xml")
	_, _ = io.WriteString(w, b.String())
}

// keys returns the first keys with a prefix after another, and whether there are more.
func (n *Names) keys(prefix, after string, size int) (keys []string, more bool) {
	if size == 0 {
		return nil, false
	}
	start := max(after, prefix)
	take := func(key string) bool { return key > after && strings.HasPrefix(key, prefix) }
	extra := n.Extra
	i, _ := slices.BinarySearch(extra, start)
	extra = extra[i:]
	epoch := n.from(start)
	for {
		next := ""
		if epoch != 0 {
			next = n.KeyOf(epoch)
		}
		if len(extra) > 0 && (next == "" || extra[0] < next) {
			next, extra = extra[0], extra[1:]
		} else if next != "" {
			listed := !n.Missing[epoch]
			epoch = n.after(epoch)
			if !listed {
				continue
			}
		}
		switch {
		case next == "" || next > prefix && !strings.HasPrefix(next, prefix):
			return keys, false
		case !take(next):
			continue
		case len(keys) == size:
			return keys, true
		}
		keys = append(keys, next)
	}
}

// after returns the epoch that follows in the order of texts; 0 if there is none.
func (n *Names) after(epoch uint64) uint64 {
	for {
		if epoch*10 <= n.Last {
			epoch *= 10
		} else {
			for epoch%10 == 9 || epoch+1 > n.Last {
				if epoch /= 10; epoch == 0 {
					return 0
				}
			}
			epoch++
		}
		if epoch >= n.First {
			return epoch
		}
	}
}

// from returns an epoch, in the order of texts, that no key after a text comes before.
func (n *Names) from(start string) uint64 {
	if start < "1" {
		return n.listed(1)
	}
	digits := start[:len(start)-len(strings.TrimLeft(start, "0123456789"))]
	epoch, _ := strconv.ParseUint(digits[:min(len(digits), 12)], 10, 64)
	for epoch > n.Last { // the beginnings of a number come before it
		epoch /= 10
	}
	if epoch == 0 {
		return 0
	}
	return n.listed(epoch)
}

func (n *Names) listed(epoch uint64) uint64 {
	switch {
	case epoch > n.Last:
		return 0
	case epoch < n.First:
		return n.after(epoch)
	}
	return epoch
}
