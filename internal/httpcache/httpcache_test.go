package httpcache_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ktaudit/ktaudit/internal/httpcache"
)

func TestRead(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		header http.Header
		cached bool
		age    time.Duration
		said   string
	}{
		{http.Header{}, false, 0, ""},
		{http.Header{"X-Cache": {"Miss from cloudfront"}}, false, 0, "Miss from cloudfront"},
		{http.Header{"X-Cache": {"Hit from cloudfront"}, "Age": {"180"}}, true, 3 * time.Minute, "Hit from cloudfront"},
		{http.Header{"X-Cache": {"Hit from cloudfront"}, "Age": {"0"}}, true, 0, "Hit from cloudfront"},
		{http.Header{"X-Cache": {"RefreshHit from cloudfront"}}, false, 0, "RefreshHit from cloudfront"},
		{http.Header{"X-Cache": {"MISS, HIT"}}, true, 0, "MISS, HIT"},
		{http.Header{"X-Cache": {"MISS", "HIT"}}, true, 0, "MISS"},
		{http.Header{"X-Cache": {"TCP_MEM_HIT from a"}}, true, 0, "TCP_MEM_HIT from a"},
		{http.Header{"X-Cache": {"TCP_REFRESH_HIT from a"}}, false, 0, "TCP_REFRESH_HIT from a"},
		{http.Header{"X-Cache": {"no hitch, whitestone"}}, false, 0, "no hitch, whitestone"},
		{http.Header{"Cf-Cache-Status": {"HIT"}}, true, 0, "HIT"},
		{http.Header{"Cf-Cache-Status": {"STALE"}}, true, 0, "STALE"},
		{http.Header{"Cf-Cache-Status": {"DYNAMIC"}}, false, 0, "DYNAMIC"},
		{http.Header{"Cache-Status": {"a; fwd=miss, b; hit; ttl=30"}}, true, 0, "a; fwd=miss, b; hit; ttl=30"},
		{http.Header{"Age": {"7"}}, true, 7 * time.Second, ""},
		{http.Header{"Age": {"0"}}, false, 0, ""},
		{http.Header{"Age": {"old"}}, true, 0, ""},
		{http.Header{"Age": {"99999999999999999999"}}, true, 0, ""},
		{http.Header{"X-Cache": {"\x1b[2J\u202e" + strings.Repeat("x", 60_000)}}, false, 0, `\x1b[2J\u202e` + strings.Repeat("x", 84) + "…"},
	} {
		cached, age, said := httpcache.Read(test.header)
		if cached != test.cached || age != test.age || said != test.said {
			t.Errorf("%.200q: %t, %s, %q", test.header, cached, age, said)
		}
	}
}
