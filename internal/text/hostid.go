package text

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"strings"
)

// HostID names whoever is at a URL, in keys of objects, in incidents and in metrics: by its host in
// at most 48 lower-case letters, digits and hyphens, and by a hash of all of the URL.
func HostID(address string) string {
	host := address
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		host = u.Host
	}
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(host))
	return fmt.Sprintf("%.48s-%.4x", plain, sha256.Sum256([]byte(address)))
}
